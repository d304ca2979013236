"""The challenge: passes are counted, and what is no sampler gets a sentence."""

import json

import pytest
import torch

from sdlearn.checkpoints import load_parts
from teach import challenge
from tests.figures import ROOT


START = ROOT / "teach" / "challenge_ddim.py"
PROMPTS = ["a red cat at the beach"]
SAMPLERS = {
    "looked 3 times, and 2": "look(noise, 1); look(noise, 2); return look(noise, 3)",
    "return a tensor": "return None",
    "keep its shape": "return noise[:, :3]",
    "not a finite number|NaN|nan": "return noise / 0 * 0",
}


@pytest.fixture(scope="module")
def parts():
    return load_parts("tiny", device="cpu")


def sampler(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text(f"def draw(look, noise, alphas_cumprod, passes):\n    {body}\n")
    return path


@pytest.mark.parametrize("said", SAMPLERS)
def test_what_breaks_the_rules_is_told(said, parts, tmp_path):
    draw = challenge.read_sampler(sampler(tmp_path, SAMPLERS[said]))
    with pytest.raises(Exception, match=said):
        challenge.pictures(parts, draw, PROMPTS, 2, seed=0)


@pytest.mark.parametrize("text", ["", "draw = 3"])
def test_file_without_a_sampler(text, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match="no function draw"):
        challenge.read_sampler(tmp_path / "mine.py")
    with pytest.raises(ValueError, match="no file"):
        challenge.read_sampler(tmp_path / "none.py")


def test_a_look_without_the_prompt_is_a_pass_and_differs(parts):
    look = challenge.Look(parts, PROMPTS, 2)
    noise = torch.zeros(1, 4, 8, 8)
    assert not torch.allclose(look(noise, 500), look(noise, 500, prompted=False))
    assert look.used == 2
    with pytest.raises(challenge.TooManyPasses):
        look(noise, 500)


def test_more_passes_obey_better(parts, tmp_path, monkeypatch, capsys):
    out = tmp_path / "scores.json"
    monkeypatch.setattr(challenge, "PASSES", (1, 4))
    words = ["challenge.py", str(START), "--n", "2", "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    challenge.main()
    scores = json.loads(out.read_text())
    assert scores["4"] > scores["1"]
    assert "4 passes" in capsys.readouterr().out


def test_bad_sampler_ends_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["challenge.py", str(sampler(tmp_path, "return 1 / 0"))]
    )
    with pytest.raises(SystemExit, match="mine.py: division by zero"):
        challenge.main()
