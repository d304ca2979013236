"""`sdlearn-train` from nothing to a pipeline folder, killed on the way."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sdlearn.core import make_generator
from sdlearn.denoiser import Endless, train
from sdlearn.pipeline import generate, load_parts

COMMAND = shutil.which("sdlearn-train", path=Path(sys.executable).parent)


def start(out, *args):
    return subprocess.Popen(
        [COMMAND, "--out", str(out), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(out, *args):
    process = start(out, *args)
    text = "".join(process.communicate(timeout=600))
    return process.returncode, text


def wait_for(path, process):
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    pytest.fail(f"{path} did not appear")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A smoke training that was killed in the middle of its VAE, then resumed."""
    out = tmp_path_factory.mktemp("train") / "tiny"
    checkpoint = out.parent / "tiny-training/vae.safetensors"
    process = start(out, "--budget", "smoke")
    wait_for(checkpoint, process)
    process.kill()
    process.communicate()
    steps = len(load_file(checkpoint)["losses"])
    began = time.monotonic()
    code, text = finish(out, "--budget", "smoke", "--resume")
    return out, steps, code, text, time.monotonic() - began


def test_killed_training_resumes(trained):
    out, steps, code, text, seconds = trained
    assert code == 0, text
    assert 0 < steps < 10
    assert seconds < 180
    assert len(load_file(out.parent / "tiny-training/vae.safetensors")["losses"]) == 10


def test_nothing_is_left_half_written(trained):
    out = trained[0]
    assert not [path for path in out.parent.rglob(".*") if path.is_file()]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "tiny",
        "tiny-training",
    ]


def test_trained_folder_draws(trained):
    parts = load_parts(trained[0], device="cpu")
    result = generate(
        parts,
        "a red cat at the beach",
        num_inference_steps=2,
        generator=make_generator(0),
    )
    assert result.images[0].size == (64, 64)
    recipe = json.loads((trained[0] / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["budget"] == "smoke" and recipe["vae_psnr"] > 5


def test_two_trainings_do_not_mix(trained):
    code, text = finish(trained[0], "--budget", "smoke")
    assert code == 2 and "--resume" in text and "Traceback" not in text
    code, text = finish(trained[0], "--budget", "laptop", "--resume")
    assert code == 2 and "smoke" in text and "Traceback" not in text


@pytest.mark.skipif(
    sys.platform == "win32", reason="PyTorch's launcher needs libuv there"
)
def test_two_processes_share_the_batches(tmp_path):
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--no-python",
        COMMAND,
    ]
    subprocess.run(
        [
            *launch,
            "--out",
            str(tmp_path / "x"),
            "--budget",
            "smoke",
            "--stage",
            "decoder",
        ],
        check=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    batches = {
        stage: len(load_file(tmp_path / f"x-training/{stage}.safetensors")["losses"])
        for stage in ("vae", "decoder")
    }
    assert batches == {
        "vae": 10,
        "decoder": 6,
    }  # one process takes 10 and 5; each of two takes as many


def test_half_and_full_precision_in_one_process():
    numbers = Endless(lambda i: torch.tensor([float(i)]))

    def loss_fn(model, batch, generator):
        return model(batch).square().mean()

    losses = []
    for precision in ("bf16", "no"):
        torch.manual_seed(0)
        losses.append(
            train(
                torch.nn.Linear(1, 8),
                loss_fn,
                numbers,
                steps=3,
                batch_size=2,
                mixed_precision=precision,
            )
        )
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)
    with pytest.raises(ValueError, match="'no' or 'bf16'"):
        train(torch.nn.Linear(1, 8), loss_fn, numbers, steps=1, mixed_precision="fp16")


def test_nothing_else_is_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/picture.png").write_bytes(b"precious")
    code, text = finish(tmp_path / "mine", "--budget", "smoke")
    assert code == 2 and "another --out" in text and "Traceback" not in text
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "picture.png"]


@pytest.mark.parametrize(
    "args, words", [(["--budget", "huge"], "budget"), (["--stage", "gan"], "stage")]
)
def test_wrong_names(tmp_path, args, words):
    code, text = finish(tmp_path / "x", *args)
    assert code == 2 and words in text and "Traceback" not in text
    assert not list(tmp_path.iterdir())
