"""Whatever `generate` is asked for: finite pictures, or one of our sentences."""

import functools
import traceback
from functools import partial

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdlearn.core import make_generator
from sdlearn.pipeline import Generated, generate
from sdlearn.samplers import ddim_step, ddpm_step, dpm_step
from sdlearn.schedulers import SCHEDULERS

from .figures import ROOT
from .random_parts import build_parts

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]
build = functools.cache(build_parts)

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.integers(-2, 2), max_size=3),
    st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
    st.sampled_from([dict, len, torch.ones(2), np.ones(3), torch.nn.Identity()]),
)


def noise(seed, scale):
    """Latents in one of three forms."""
    tensor = torch.randn(1, 4, 8, 8, generator=make_generator(seed)) * scale
    return [tensor, tensor.numpy(), tensor.tolist()][seed % 3]


def broken_step(sample, noise_pred, a, a_prev, noise=None, last=None):
    return sample / 0


CLASSES = ["LCMScheduler", "EDMEulerScheduler", "DDIMInverseScheduler"]
UNFIT = ["FlowMatchEulerDiscreteScheduler", "RePaintScheduler", "AutoencoderKL"]
numbers = st.floats(0, 1) | st.integers(0, 1)
sides = st.none() | st.sampled_from([8, 24, 64, np.int64(16)])
generators = st.builds(make_generator, st.integers(0, 9))
fair = {
    "prompt": st.sampled_from(["a red cat", ["two fish"], "a (cat:1.3)", ""]),
    "negative_prompt": st.sampled_from([None, "", "a dog", ["a car"]]),
    "num_inference_steps": st.integers(1, 2),
    "guidance_scale": st.floats(0, 20) | st.integers(0, 9),
    "guidance_rescale": numbers,
    "eta": numbers,
    "scheduler": st.one_of(
        st.none(),
        st.sampled_from(sorted(SCHEDULERS)),
        st.sampled_from([ddim_step, ddpm_step, dpm_step, partial(ddim_step, eta=1.0)]),
        st.sampled_from(CLASSES).map(partial(getattr, diffusers)),
    ),
    "seed": st.none() | st.integers(0, 2**64 - 1),
    "clip_skip": st.none() | st.integers(0, 2),
    "generator": st.none() | generators | st.lists(generators, min_size=1, max_size=1),
    "latents": st.none(),
    "height": sides,
    "width": sides,
}
odd = {
    "prompt": st.text(max_size=200) | st.lists(st.text(max_size=9), max_size=3),
    "guidance_scale": st.floats(20, 1e38) | st.floats(allow_nan=True),
    "scheduler": st.one_of(
        st.text(max_size=9),
        st.just(broken_step),
        st.sampled_from(UNFIT).map(partial(getattr, diffusers)),
        st.builds(diffusers.DDIMScheduler, st.integers(1, 1200)),
    ),
    "num_inference_steps": st.integers(-5, 0) | st.integers(1000, 10**9),
    "clip_skip": st.integers(-2, 99),
    "generator": st.lists(generators, max_size=3),
    "latents": st.builds(noise, st.integers(0, 9), st.floats(-1e38, 1e38)),
    "height": st.integers(-9, 99),
    "width": st.integers(-9, 99),
}


@st.composite
def calls(draw):
    """Arguments of `generate`, at most three of them strange."""
    strange = draw(st.sets(st.sampled_from(sorted(fair)), max_size=3))
    arguments = {}
    for name, usual in fair.items():
        unusual = odd.get(name, anything) | anything
        arguments[name] = draw(unusual if name in strange else usual)
    return arguments


def assert_is_ours(error):
    """An error of ours, in one sentence."""
    message = str(error)
    assert "\n" not in message, message
    assert message.endswith("."), message
    assert len(message) > 20, message
    place = traceback.extract_tb(error.__traceback__)[-1].filename
    assert place.startswith(str(ROOT / "sdlearn")), f"{place}: {message}"


def assert_is_drawn(result, prompt):
    """Finite pictures, one for each prompt."""
    assert isinstance(result, Generated)
    assert len(result.images) == 1 if isinstance(prompt, str) else len(prompt)
    assert result.latents.isfinite().all()
    for image in result.images:
        assert image.mode == "RGB" and min(image.size) >= 8


def outcome(arguments):
    """What came of it: "drawn" or "refused"."""
    arguments = dict(arguments)
    prompt = arguments.pop("prompt")
    try:
        result = generate(build("least"), prompt, **arguments)
    except (ValueError, OSError) as error:
        assert_is_ours(error)
        return "refused"
    assert_is_drawn(result, prompt)
    return "drawn"


def bounded(max_examples):
    """So many examples, the same ones each time; none is kept on the disk."""
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@bounded(60)
@given(calls())
def test_a_picture_or_a_sentence(arguments):
    outcome(arguments)


@pytest.mark.slow
@bounded(600)
@given(calls())
def test_many_pictures_or_sentences(arguments):
    outcome(arguments)


def test_both_outcomes_are_met():
    seen = []

    @bounded(40)
    @given(calls())
    def gather(arguments):
        seen.append(outcome(arguments))

    gather()
    assert seen.count("drawn") > 5
    assert seen.count("refused") > 5
