"""A student that draws in four passes: its file, its loader, its training."""

import json
import shutil

import pytest
import torch
from diffusers import LCMScheduler
from safetensors.torch import load_file

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.data import WorldData
from sdlearn.distill import (
    TIMESTEPS,
    Distillation,
    consistency,
    consistency_rates,
    distill,
    guidance_loss,
    make_student,
    path_loss,
    points_of,
    recorded_paths,
    student_of,
    teacher_paths,
)
from sdlearn.evaluate import pass_rate
from sdlearn.guidance import guided_denoiser
from sdlearn.hub import find_folder
from sdlearn.judge import load_scorer
from sdlearn.lora import LORA_FILE
from sdlearn.pipeline import generate
from sdlearn.tasks import SPLITS, task_prompts
from sdlearn.text import tokenize

from .conftest import refused
from .random_parts import build_parts

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ["a red cat at the beach", "two fish"]
SMOKE = dict(paths=4, batch_size=2, rank=2)


@pytest.fixture(scope="module")
def student():
    return load_parts("tiny-lcm", device="cpu")


@pytest.fixture(scope="module")
def least():
    return build_parts("least")


def scores():
    path = find_folder("tiny-lcm") / "scores.json"
    return json.loads(path.read_text(encoding="utf-8"))


# What ships


def test_the_folder_is_small_and_safe():
    files = [path for path in find_folder("tiny-lcm").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}
    assert sum(path.stat().st_size for path in files) < 8 * 2**20
    tensors = load_file(find_folder("tiny-lcm") / LORA_FILE)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("steps", [1, 4])
def test_the_stock_pipeline_draws_the_same(student, steps):
    pipe = load_parts("tiny", device="cpu").to_pipeline()
    pipe.load_lora_weights(find_folder("tiny-lcm"), weight_name=LORA_FILE)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    how = dict(num_inference_steps=steps, guidance_scale=1.0)
    usual = dict(generator=make_generator(0), output_type="latent")
    expected = pipe(PROMPTS, **usual, **how).images
    ours = generate(student, PROMPTS, generator=make_generator(0), **how).latents
    # Matrices added to the weights round otherwise than matrices beside them.
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_it_draws_in_four_passes_if_nothing_is_said(student):
    shown = []
    hook = student.unet.register_forward_pre_hook(lambda _, x: shown.append(len(x[0])))
    result = generate(student, "a cat", seed=0)
    hook.remove()
    assert shown == [1] * 4
    assert result.settings.guidance_scale == 1


def test_no_adapter_is_left_in_the_unet(student):
    teacher = load_parts("tiny", device="cpu").unet
    names = [name for name, _ in student.unet.named_parameters()]
    assert names == [name for name, _ in teacher.named_parameters()]
    assert not hasattr(student.unet, "peft_config") or not student.unet.peft_config


def test_four_steps_obey(student):
    asked = [one.prompt for one in task_prompts(2)]
    images = to_tensor(generate(student, asked, seed=0).images)
    assert pass_rate(load_scorer(), images, asked) > 0.8


@pytest.mark.parametrize("part", SPLITS)
def test_the_scores_say_that_four_steps_keep_most(part):
    found = scores()
    assert {row[part]["n"] for row in found.values()} == {700}
    assert found["4"][part]["score"] >= 0.95 * found["teacher"][part]["score"]


@pytest.mark.parametrize("part", SPLITS)
def test_the_scores_say_where_distillation_gains(part):
    """In one step and two; in four the model that was not distilled obeys as often."""
    found = scores()
    for steps in ("1", "2"):
        assert found[steps][part]["low"] > found[f"control {steps}"][part]["high"]
    ours, theirs = found["4"][part], found["control 4"][part]
    assert theirs["low"] < ours["score"] < theirs["high"]


def test_the_card_has_the_scores():
    card = (find_folder("tiny-lcm") / "README.md").read_text(encoding="utf-8")
    for name, row in scores().items():
        shares = [
            f"{r['score']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for r in row.values()
        ]
        assert all(share in card for share in shares), name


@pytest.mark.parametrize("part", SPLITS)
def test_one_row_with_guidance_learned_is_as_near_as_two(part):
    path = find_folder("tiny-lcm") / "guidance.json"
    rows = json.loads(path.read_text(encoding="utf-8")).values()
    two, without, learned = (row[part]["frechet_distance"] for row in rows)
    assert learned < (two + without) / 2 < without


def test_a_damaged_student_is_one_sentence(tmp_path):
    folder = shutil.copytree(find_folder("tiny-lcm"), tmp_path / "student")
    (folder / LORA_FILE).write_bytes(b"no weights")
    with refused("student could not be loaded", error=OSError):
        load_parts(folder, device="cpu")
    (folder / LORA_FILE).unlink()
    with refused("student could not be loaded", error=OSError):
        load_parts(folder, device="cpu")


# How it is made


def test_stops_are_those_of_the_scheduler():
    for steps in (1, 2, 4, 8):
        scheduler = LCMScheduler()
        scheduler.set_timesteps(steps)
        assert tuple(scheduler.timesteps.tolist()) == TIMESTEPS[:: 8 // steps]


def test_the_consistency_function_is_that_of_the_scheduler():
    scheduler = LCMScheduler()
    sample, noise_pred = randn((2, 1, 4, 8, 8), make_generator(0))
    for t in (0, 3, 139, 999):
        ours = consistency_rates(torch.tensor(t))
        theirs = scheduler.get_scalings_for_boundary_condition_discrete(t)
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs))
    scheduler.set_timesteps(4)
    expected = scheduler.step(noise_pred, 999, sample).denoised
    t, levels = torch.tensor([999]), scheduler.alphas_cumprod
    ours = consistency(sample, noise_pred, t, levels)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_path_begins_at_its_noise_and_ends_where_it_is_drawn(least):
    noise = randn((2, 4, 8, 8), make_generator(0))
    paths = teacher_paths(least, PROMPTS, noise)
    assert paths.shape == (2, len(TIMESTEPS) + 1, 4, 8, 8)
    assert torch.equal(paths[:, 0], noise)
    one = teacher_paths(least, PROMPTS[1:], noise[1:])
    torch.testing.assert_close(one, paths[1:], atol=1e-4, rtol=1e-4)


def test_paths_are_drawn_once(least, tmp_path):
    prompts = WorldData(0).captions(3)
    first = recorded_paths(least, prompts, tmp_path)
    files = list(tmp_path.iterdir())
    changed = [path.stat().st_mtime_ns for path in files]
    again = recorded_paths(least, prompts, tmp_path)
    assert torch.equal(first, again)
    assert [path.stat().st_mtime_ns for path in files] == changed


def test_a_perfect_student_loses_nothing(least):
    """A denoiser that knows the end of each path."""
    paths = teacher_paths(least, PROMPTS, randn((2, 4, 8, 8), make_generator(0)))
    items = points_of(paths, PROMPTS, least.tokenizer)
    noisy, t, end, input_ids = items[3]
    a = least.scheduler.alphas_cumprod[t]

    class Perfect(torch.nn.Module):
        def forward(self, sample, t, encoder_hidden_states):
            noise = (sample - a**0.5 * end) / (1 - a) ** 0.5
            return type("Output", (), dict(sample=noise))

    batch = noisy[None], t[None], end[None], input_ids[None]
    loss_fn = path_loss(least)
    assert loss_fn(Perfect(), batch) < 1e-3
    elsewhere = noisy[None], t[None], end[None] + 1, input_ids[None]
    assert loss_fn(Perfect(), elsewhere) > 0.5


def test_one_row_that_answers_like_two_loses_nothing(least):
    noisy, t = randn((2, 4, 8, 8), make_generator(0)), torch.tensor([500, 500])
    tokens = tokenize(least.tokenizer, PROMPTS)
    embeds = least.embed(tokens), least.embed(["", ""])
    guided = guided_denoiser(least.unet, *embeds, guidance_scale=2.5)(noisy, t[0])

    class Perfect(torch.nn.Module):
        def forward(self, sample, t, encoder_hidden_states):
            return type("Output", (), dict(sample=guided))

    batch = noisy, t, None, tokens.input_ids
    assert guidance_loss(least)(Perfect(), batch) < 1e-8
    assert guidance_loss(least)(least.unet, batch) > 1e-6
    assert guidance_loss(least, 5.0)(Perfect(), batch) > 1e-6


def test_a_student_begins_as_its_teacher(least):
    student = student_of(least.unet, rank=2)
    x, prompt_embeds = randn((1, 4, 8, 8)), least.embed(PROMPTS[:1])
    ours = student(x, 500, encoder_hidden_states=prompt_embeds).sample
    theirs = least.unet(x, 500, encoder_hidden_states=prompt_embeds).sample
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert all("lora" in n for n, w in student.named_parameters() if w.requires_grad)
    assert all(weight.requires_grad for weight in least.unet.parameters())


def matrices(unet):
    weights = unet.state_dict()
    return torch.cat([weights[n].flatten() for n in weights if "lora" in n])


def test_a_distillation_resumes(least, tmp_path):
    data, whole, broken = WorldData(0), tmp_path / "whole", tmp_path / "broken"
    budget = Distillation(steps=4, **SMOKE)
    expected, losses = distill(least, data, whole, budget)

    class Killed(Exception):
        pass

    def kill(step, model, ema):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        distill(least, data, broken, budget, on_step=kill, save_every=2)
    found, resumed = distill(least, data, broken, budget)
    assert len(resumed) == 4
    torch.testing.assert_close(torch.tensor(resumed), torch.tensor(losses))
    torch.testing.assert_close(matrices(found), matrices(expected))
    assert matrices(found).abs().sum() > 0


def test_guidance_alone_is_distilled(least, tmp_path):
    budget = Distillation(steps=2, **SMOKE)
    student, losses = distill(least, WorldData(0), tmp_path, budget, guidance_loss)
    assert len(losses) == 2 and matrices(student).abs().sum() > 0


@pytest.mark.slow
def test_a_whole_distillation_is_a_folder_that_draws(tmp_path):
    out = tmp_path / "student"
    losses = make_student(out, budget=Distillation(steps=2, **SMOKE))
    assert len(losses) == 2
    parts = load_parts(out, device="cpu")
    assert isinstance(parts.scheduler, LCMScheduler)
    result = generate(parts, "a red cat", seed=0)
    assert result.settings.num_inference_steps == 4
    recipe = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["teacher"] == "tiny"
    assert recipe["steps"] == 2
