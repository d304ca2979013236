"""The exercises: blanks are refused with a reason, solutions pass, each section stands alone."""

import contextlib
import functools
import io
import re

import nbformat
import pytest

from tests.figures import notebooks

TITLE = "## Check yourself"
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def has_heading(cell, text="## "):
    """Does a line of the cell begin with this? A title may stand below other text."""
    lines = cell.source.splitlines() if cell.cell_type == "markdown" else []
    return any(line.startswith(text) for line in lines)


def is_exercise(cell):
    return cell.cell_type == "code" and cell.source.startswith("# exercise")


def section(cells):
    """The cells below the title, up to the next section of the same rank."""
    titles = [i for i, cell in enumerate(cells) if has_heading(cell, TITLE)]
    if not titles:
        return []
    found = []
    for cell in cells[titles[0] + 1 :]:
        if has_heading(cell):
            break
        found.append(cell)
    return found


def solution_in(cell):
    """The code of a cell that unfolds; None if it holds none."""
    found = SOLUTION.search(cell.source) if cell.cell_type == "markdown" else None
    return found and found[1]


def pieces(cells):
    """Each code cell with the solution that replaces it; None where there is none."""
    for i, cell in enumerate(cells):
        below = cells[i + 1 : i + 2]
        if is_exercise(cell) and below:
            yield cell, solution_in(below[0])
        elif cell.cell_type == "code":
            yield cell, None


def solved(cell, solution):
    """An exercise with its solution in place of the blank; its verdict stays."""
    verdict = cell.source.splitlines()[-1]
    return solution if "verdict(" in solution else f"{solution}\n{verdict}"


def complaints(cells):
    """What a section lacks."""
    exercises = [piece for piece in pieces(cells) if is_exercise(piece[0])]
    if not 2 <= len(exercises) <= 4:
        yield f"{len(exercises)} exercises: two to four are wanted"
    for number, (cell, solution) in enumerate(exercises, 1):
        if not cell.source.splitlines()[-1].startswith("verdict("):
            yield f"exercise {number} does not end in its verdict"
        if "..." not in cell.source:
            yield f"exercise {number} has no blank"
        if not solution:
            yield f"exercise {number} has no solution in the cell below it"


def run(cells, with_solutions):
    """What each exercise prints when the section runs alone."""
    names = {"__name__": "__main__", "display": lambda *args: None}
    printed = []
    for cell, solution in pieces(cells):
        source = cell.source
        if with_solutions and solution:
            source = solved(cell, solution)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(source, TITLE, "exec"), names)
        if is_exercise(cell):
            printed.append(out.getvalue().strip())
    return printed


@functools.cache
def section_of(path):
    return section(nbformat.read(path, as_version=4).cells)


@functools.cache
def verdicts(path, with_solutions):
    return run(section_of(path), with_solutions)


# An appendix has a letter after its number (02a_drawings), and needs no exercises.
LESSONS = [path for path in notebooks() if path.stem[2] == "_"]
NOTEBOOKS = [path for path in notebooks() if section_of(path)]
EXERCISES = [
    pytest.param(path, number, id=f"{path.stem}-{number + 1}")
    for path in NOTEBOOKS
    for number in range(sum(map(is_exercise, section_of(path))))
]


def test_every_lesson_has_a_section():
    assert LESSONS
    assert not [path.stem for path in LESSONS if path not in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_section_is_complete(path):
    assert not list(complaints(section_of(path)))


@pytest.mark.parametrize("path, number", EXERCISES)
def test_blank_is_refused_with_a_reason(path, number):
    verdict = verdicts(path, with_solutions=False)[number]
    assert verdict.startswith("Not yet: ") and "Error" not in verdict, verdict


@pytest.mark.parametrize("path, number", EXERCISES)
def test_solution_is_right(path, number):
    assert verdicts(path, with_solutions=True)[number] == "Right."


ONE_GENERATOR = """
def batch_noise(seeds):
    generator = torch.Generator().manual_seed(seeds[0])
    return torch.randn(len(seeds), 4, 8, 8, generator=generator)
"""
UPSIDE_DOWN = """
def snowman(p):
    p.oval(0.5, 0.26, 0.3, 0.26)
    p.oval(0.5, 0.66, 0.22, 0.2)
    p.oval(0.5, 0.9, 0.1, 0.1)
"""
# What readers may well write, by lesson and exercise, and words of the sentence that
# answers it. A pair (old, new) is the solution with one change; a text is all of the answer.
MISTAKES = {
    "00_tour": {
        1: {
            ("(1, 4,", "(1, 3,"): "three channels are for pixels",
            (
                "height // 8, width // 8",
                "width // 8, height // 8",
            ): "height comes before",
            ("// 8", "/ 8"): "divide with //",
            ("height // 8, width // 8", "64, 96"): "use height and width",
            ("height // 8, width // 8", "height, width"): "divide by 8",
            ("4, height // 8, width // 8", "height // 8, width // 8, 4"): "come second",
            ("1, 4, height", "4, height"): "four dimensions",
            ("(1, 4, height // 8, width // 8)", "[1, 4, 64, 96]"): "round brackets",
            ("return (1", "(1"): "replace the ...",
        },
        2: {
            ("generator=generator", "generator=seed"): "make_generator(seed)",
            ("generator=generator", "generator=None"): "not the picture of seed 0",
            ("(0, 1)", "(0, 0)"): "give each its own seed",
            ("(0, 1)", "(1, 0)"): "wrong order",
            ("(0, 1)", "(0, 1, 2)"): "two pictures, not 3",
            ("num_inference_steps=4, ", ""): "num_inference_steps=4",
            ("result.images[0]", "result"): "take result.images[0]",
            ("return pictures", "return pictures[0]"): "a list of two",
            ("return pictures", "pictures"): "a list of two",
        },
        3: {
            "sunny_seed = 0": "the right half",
            "sunny_seed = [1, 2, 3]": "one seed is enough",
            "sunny_seed = None": "a whole number, not None",
            "sunny_seed = 2.0": "a whole number, not 2.0",
            "sunny_seed = True": "a whole number, not True",
            "sunny_seed = -1": "from 0 to 999",
        },
    },
    "01_core": {
        1: {
            (".permute(2, 0, 1)", ".reshape(3, 4, 6)"): "you used reshape",
            (".permute(2, 0, 1)", ""): "channels are still last",
            (".permute(2, 0, 1)", ".permute(2, 1, 0)"): "should be (1, 3, 4, 6)",
            ("[None]", ""): "add one in front",
            ("[None]", ".flip(0)[None]"): "red and blue are swapped",
            (" / 127.5 - 1", " / 255"): "starts at 0",
            (" / 127.5 - 1", ""): "divide by 127.5",
            (" - 1", ""): "then subtract 1",
            (".float()", ".double()"): "should be float32",
            "def preprocess(pixels): return pixels / 127.5 - 1": "a torch tensor",
        },
        2: {
            (".permute(0, 2, 3, 1)", ""): "channels belong last",
            (
                ".permute(0, 2, 3, 1)",
                ".reshape(-1, *sample.shape[2:], 3)",
            ): "permute moves",
            (".round()", ""): "round, since",
            (".clamp(0, 255)", ""): "clamp before",
            ("(sample + 1)", "sample"): "add 1, then multiply",
            ("* 127.5", "/ 2"): "add 1, then multiply by 127.5",
            (".byte()", ""): "bytes are uint8",
            ("return pixels", "pixels"): "nothing comes back",
        },
        3: {
            ("torch.Generator().manual", "torch.manual"): "the global generator",
            ("generator=generator", ""): "the global generator",
            ("torch.stack(noises)", "noises"): "return a tensor",
            ("torch.stack(noises)", "torch.cat(noises)"): "not (8, 8, 8)",
            ("torch.randn", "torch.rand"): "not torch.rand",
            ("manual_seed(seed)", "manual_seed(0)"): "the same noise",
            (
                "manual_seed(seed)",
                "manual_seed(seed + 1)",
            ): "from a generator with that",
            ONE_GENERATOR: "one generator serves several",
        },
        4: {
            "odd_seed = 0": "let a loop look",
            "odd_seed = [0, 1]": "one seed is enough",
            "odd_seed = None": "a whole number, not None",
            "odd_seed = 0.15": "a whole number, not 0.15",
            "odd_seed = 5000": "from 0 to 999",
        },
    },
    "02_world": {
        1: {
            "def snowman(p): pass": "nothing was drawn",
            "def snowman(p): p.oval(0.5, 0.5, 0.3, 0.5)": "are a stone",
            "def snowman(p): p.oval(32, 40, 10, 10)": "look like pixels",
            ("0.74, 0.3, 0.26", "0.6, 0.3, 0.2"): "it floats",
            ("0.74, 0.3, 0.26", "0.9, 0.3, 0.26"): "leaves its square",
            ("0.3, 0.26)", "0.3, 0.26, COLORS['white'])"): "a fill of its own",
            UPSIDE_DOWN: "on its head",
        },
        2: {
            (" / 64", ""): "those are pixels",
            ("x0, y0, x1, y1 =", "y0, x0, y1, x1 ="): "x and y are swapped",
            ("(x0 + x1) / 2 / 64, (y0 + y1) / 2", "x0 / 64, y0"): "upper left corner",
            (
                "(x0 + x1) / 2 / 64, (y0 + y1)",
                "(x1 - x0) / 2 / 64, (y1 - y0)",
            ): "half the size",
            (
                "boxes[name]",
                "[box for box in boxes.values() if box != boxes[name]][0]",
            ): ("the other thing"),
            ("return (x0", "(x0"): "nothing came back",
        },
        3: {
            "def withheld(fact, n, salt): return hash(f'{salt} {fact}') % n == 0": (
                "changes with each start"
            ),
            "def withheld(fact, n, salt):\n    import random\n    return not random.randrange(n)": (
                "another one tomorrow"
            ),
            (" % n == 0", " % n"): "nearly all facts",
            ("{salt} {fact}", "{fact}"): "the salt changes nothing",
            ("{salt} {fact}", "{fact} {salt}"): "first the salt",
            ("{salt} {fact}", "{salt}{fact}"): "a space belongs",
            (", 16)", ")"): "in base 16",
            (".encode()", ""): "sha256 takes bytes",
            ("return int", "int"): "nothing came back",
        },
        4: {
            "withheld_prompts = ['an astronaut riding a horse'] * 4": "the famous six",
            "withheld_prompts = ['a cat'] * 4": "not held out",
            "withheld_prompts = 'a green cat'": "a list of four prompts",
            "withheld_prompts = [None] * 4": "four texts",
            "withheld_prompts = ['a red panda'] * 4": "a panda takes no color",
            (
                "for plural in plurals),",
                "for plural in plurals),\n    'a cat',",
            ): "not 5",
            (
                '"two {plural}" for plural in plurals',
                '"a {name} {place}" for place in places for name in NOUNS',
            ): ("for its number"),
        },
    },
    "03_schedule": {
        1: {
            (".reshape(-1, 1, 1, 1)", ""): "the shapes do not fit",
            ("(1 - a) ** 0.5", "(1 - a**0.5)"): "not 1 - sqrt(alphas_cumprod)",
            ("sample + (1 - a)", "sample - (1 - a)"): "added, not taken away",
            ("a**0.5 * sample", "(1 - a) ** 0.5 * sample"): "another mixture",
            ("return ", ""): "nothing came back",
            (
                "a**0.5 * sample + (1 - a) ** 0.5 * noise",
                "(1 - a) ** 0.5 * sample + a**0.5 * noise",
            ): "are swapped",
            ("**0.5 * sample + (1 - a) ** 0.5", " * sample + (1 - a)"): "are missing",
        },
        2: {
            "my_betas = 0.024": "two numbers in brackets",
            "my_betas = ('0.0001', '0.024')": "are numbers, such as",
            "my_betas = (0.0001, 24)": "between 0 and 1",
            "my_betas = (0.024, 0.0001)": "the smaller number",
            "my_betas = (0.00085, 0.012)": "raise beta_end",
            "my_betas = (0.00085, 0.024)": "lower beta_start",
        },
        3: {
            (" - (1 - a)", " + (1 - a)"): "a sign is wrong",
            ("a**0.5 * noisy - (1 - a) ** 0.5 * v", "a * noisy - (1 - a) * v"): (
                "the square roots are missing"
            ),
            (
                "a**0.5 * noisy - (1 - a) ** 0.5 * v",
                "(noisy - (1 - a) ** 0.5 * v) / a**0.5",
            ): "as if it were the noise",
            (
                "a**0.5 * noisy - (1 - a) ** 0.5 * v",
                "a**0.5 * v + (1 - a) ** 0.5 * noisy",
            ): "the other unknown",
            (".reshape(-1, 1, 1, 1)", ""): "the shapes do not fit",
            ("return ", ""): "nothing came back",
        },
        4: {
            ("(b / a) ** 0.5, (1 - b / a) ** 0.5", "b**0.5, (1 - b) ** 0.5"): (
                "leads from the clean picture"
            ),
            ("(b / a) ** 0.5,", "b / a,"): "the square root of the ratio",
            ("(b / a) ** 0.5,", "(a / b) ** 0.5,"): "must multiply to",
            ("(1 - b / a) ** 0.5", "(a - b) ** 0.5"): "the old noise shrinks too",
            ("(1 - b / a) ** 0.5", "1 - b / a"): "its factor is the square root",
            (", (1 - b / a) ** 0.5", ""): "two factors",
        },
    },
    "04_denoiser": {
        1: {
            (".reshape(-1, 1, 1, 1)", ""): "the shapes do not fit",
            ("denoise(noisy, t)", "denoise(noisy, 0)"): "told t",
            ("denoise(noisy, t)", "denoise(sample, t)"): "sees the clean picture",
            ("denoise(noisy, t)", "denoise(noise, t)"): "sees the noise alone",
            ("denoise(noisy, t)", "noisy"): "never calls denoise",
            ("- noise)", "- sample)"): "with what do you compare",
            (".mean()", ""): "take the mean",
            (".square().mean()", ".square().sum()"): "the sum over the pixels",
            (".square()", ".abs()"): "square it",
            ("a.sqrt() * sample + (1 - a).sqrt()", "a * sample + (1 - a)"): (
                "the square roots are missing"
            ),
        },
        2: {
            "error = 0.01": "that is the error in the noise",
            "error = 0.01 * 0.02 / 0.98": "upside down",
            "error = 0.01 * (0.98 / 0.02) ** 0.5": "no square root",
            "error = 0.01 / 0.02": "almost",
            "error = '0.49'": "give a number",
            "error = 49": "(1 - a)/a",
        },
        3: {
            "def guess_noise(noisy, a, train_digits): return noisy": "itself",
            "def guess_noise(noisy, a, train_digits): return 0 * noisy": "no better than",
            "def guess_noise(noisy, a, train_digits): return (1 - a).sqrt() * noisy": (
                "what do you know of the digits"
            ),
            ("share * surprise", "surprise"): "do not divide by the small",
            (
                "return share * surprise / (1 - a).sqrt()",
                "return mean",
            ): "yours has the shape",
            (
                "return share * surprise / (1 - a).sqrt()",
                "return mean.expand_as(noisy)",
            ): "is it the noise that you return",
            ("return ", ""): "nothing came back",
        },
    },
    "05_training": {
        1: {
            ("range(done, steps)", "range(steps)"): "starts at item 0 again",
            ("range(done, steps)", "range(done, done + steps)"): "two are left",
            ("range(done, steps)", "range(done, steps - 1)"): "reads items 0 to 11",
            ("step * batch_size", "done + (step - done) * batch_size"): "not items",
            ("return batches", "return sum(batches, [])"): "a list of lists",
        },
        2: {
            ("weights[0]", "0"): "starts as the first weight",
            ("decay * result + (1 - decay)", "(1 - decay) * result + decay"): "swapped",
            ("(1 - decay) * weight", "weight"): "add up to 1",
            ("weights[1:]", "weights[1:-1]"): "leads to 0.1",
            "def average(weights, decay): return sum(weights) / len(weights)": "mean",
        },
        3: {
            "half_life = 50": "rule of thumb",
            "half_life = 25": "in a straight line",
            "half_life = 34": "0.503 of the first weight is left",
            "half_life = 36": "already after 35 steps",
            "half_life = '35'": "a whole number",
        },
        4: {
            "harmless = 'save_every'": "a list of names",
            "harmless = []": "one of them does no harm",
            "harmless = ['learning_rate']": "is none of",
            "harmless = ['save_every', 'seed']": "other noise",
            "harmless = ['batch_size']": "hold other items",
            "harmless = ['steps']": "falls over all steps",
            "harmless = ['ema_decay', 'save_every']": "they are the result",
        },
    },
    "06_samplers": {
        1: {
            (
                "a_prev**0.5 * guess + (1 - a_prev) ** 0.5 * noise_pred",
                "guess",
            ): "mix it",
            (" / a**0.5", ""): "divided by sqrt(a)",
            ("guess + (", "guess - ("): "a minus too many",
            ("a_prev**0.5 * guess", "a_prev**0.5 * sample"): "not the noisy sample",
            (
                "a_prev**0.5 * guess + (1 - a_prev) ** 0.5",
                "(1 - a_prev) ** 0.5 * guess + a_prev**0.5",
            ): "rates are swapped",
            (
                "a_prev**0.5 * guess + (1 - a_prev) ** 0.5",
                "a_prev * guess + (1 - a_prev)",
            ): "square root is missing",
            ("a, a_prev, noise=None", "a_prev, a, noise=None"): "are swapped",
            ("(1 - a) ** 0.5 * noise_pred) /", "(1 - a) * noise_pred) /"): "of DDIM",
            (" / a**0.5", " / a**0.5\n    return guess[0]"): "has the shape",
        },
        2: {
            (
                "range(999, -1, -(1000 // n))",
                "range(0, 1000, 1000 // n)",
            ): "comes first",
            ("range(999", "range(1000 - 1000 // n"): "leading",
            ("range(999, -1", "range(1000, 0"): "you start at 1000",
            ("-(1000 // n)", "-n"): "there are 250 timesteps",
            "def my_timesteps(n): return torch.linspace(999, 0, n)": "all be 250 long",
            "def my_timesteps(n): return 999": "return a list",
        },
        3: {
            "my_placing = list(range(999, -1, -100))": "equal strides themselves",
            "my_placing = [999 - 20 * i for i in range(10)]": "you miss by",
            "my_placing = list(range(500, 0, -50))": "pure noise",
            "my_placing = [999, 500, 10]": "not ten",
            ("range(10)]", "range(9, -1, -1)]"): "go down",
            ("round(999", "float(999"): "whole number",
            "my_placing = 10": "a list of ten timesteps",
        },
        4: {
            (".prev_sample", ""): "the sample is its prev_sample",
            ("scheduler.scale_model_input(sample, t)", "sample"): "far too large",
            (
                "model_output, t, sample)",
                "model_output, t, start)",
            ): "of the step before",
            ("in scheduler.timesteps", "in range(10)"): "visit scheduler.timesteps",
            ("scheduler.timesteps:", "scheduler.timesteps.flip(0):"): "in their order",
            ("    return sample", "    pass"): "nothing came back",
            (
                "(scheduler.scale_model_input(sample, t), t)",
                "(t, sample)",
            ): "two things",
            (
                "model_output, t, sample",
                "sample, t, model_output",
            ): "give step the output",
        },
    },
    "07_text": {
        1: {
            ("pairs[pair] += count", "pairs[pair] += 1"): "weigh each pair",
            ("zip(pieces, pieces[1:])", "set(zip(pieces, pieces[1:]))"): "counts twice",
            ("[0][0]", "[0]"): "a pair is two texts",
            ("(1)[0][0]", "()[-1][0]"): "is not the most frequent",
            "def best_pair(words): return 'ho'": "as a tuple, not joined",
        },
        2: {
            ("triu(1)", "triu()"): "at least itself",
            ("triu(1)", "tril(-1)"): "upside down",
            ("softmax(-1)", "softmax(0)"): "the columns sum to 1",
            (".softmax(-1)", ""): "still scores",
            "def causal_probabilities(scores): return scores.softmax(-1)": "nothing is masked",
            "def causal_probabilities(scores): return scores.softmax(-1).tril()": "after",
            "def causal_probabilities(scores): return scores.tril().softmax(-1)": "infinity",
        },
        3: {
            (") / 2", ")"): "not the sum",
            ("scale * ", ""): "the factor is missing",
            ("F.cross_entropy(table, right) + ", "0 + 2 * "): "find their captions too",
            (" + F.cross_entropy(table.T, right)", " * 2"): "find their pictures too",
            ("return (", "return table; ("): "a loss is one number",
        },
        4: {
            "alike = 'a red cat in the snow'": "give two prompts",
            "alike = ('a red cat here', 2)": "must be texts",
            "alike = ('a red cat at night', 'A red  cat at night')": "same prompt",
            "alike = ('a cat', 'the cat')": "too short",
            "alike = ('a zebra at night', 'a horse at night')": "never met zebra",
            "alike = ('a red cat at night', 'a blue cat at night')": "apart",
        },
    },
    "08_latents": {
        1: {
            ("(logvar / 2).exp()", "logvar.exp()"): "takes its square root",
            ("(logvar / 2).exp()", "logvar"): "is a logarithm",
            ("(logvar / 2).exp() * noise", "noise"): "by the standard deviation",
            ("mean + ", ""): "the mean is missing",
            ("noise\n", "noise.sum()\n"): "not the draw",
        },
        2: {
            ("0.5 * ", ""): "one half",
            ("- logvar", "+ logvar"): "a sign is wrong",
            (".sum(dim=(1, 2, 3))", ""): "one number for each latent value",
            (".sum(dim=(1, 2, 3))", ".sum()"): "so two numbers",
            (".sum(", ".mean("): "that is the mean",
            ("logvar.exp()", "(logvar / 2).exp()"): "not the standard deviation",
        },
        3: {
            ("1 / ", ""): "that is the spread",
            ("std()", "var()"): "take the root",
            ("raw.std().item()", "(raw**2).mean().item() ** 0.5"): "not from zero",
            ("std().item()", "std(dim=(0, 2, 3))"): "for all channels",
            "def my_factor(raw): return '0.18215'": "a number is wanted",
            "def my_factor(raw): return 0.18215": "own VAE",
            ("1 / ", "2 / "): "should be 1",
        },
        4: {
            "broken = 'noise'": "as a tensor",
            "broken = randn((3, 64, 64), make_generator(0))": "the shape must be",
            "broken = torch.ones((1, 3, 64, 64)).long()": "with a fraction",
            "broken = randn((1, 3, 64, 64), make_generator(0))": "use clamp",
            "broken = torch.zeros((1, 3, 64, 64))": "comes back with",
        },
    },
    "09_attention": {
        1: {
            (" / query.shape[-1] ** 0.5", ""): "not divided by the square root",
            (" ** 0.5", ""): "you divided by d",
            ("query.shape[-1]", "key.shape[-2]"): "not the number of tokens",
            ("softmax(-1)", "softmax(-2)"): "over the places",
            (".softmax(-1)", ""): "the softmax is missing",
            (" @ value", ""): "those are the shares",
            ("key.mT", "key.T"): "swaps the last two dimensions",
        },
        2: {
            ("(768 // 8) * (512 // 8)", "768 * 512"): "8 times smaller",
            ("places * places", "places"): "each place asks *every* place",
            ("2 * 8 * places", "8 * places"): "half of it",
            ("2 * 8 *", "2 *"): "the 8 heads",
            "my_bytes = '1.2 GB'": "a plain number",
        },
        3: {
            ("1 if i < min(positions) else 0", "int(i in positions)"): "upside down",
            (
                "1 if i < min(positions) else 0",
                "int(i not in positions)",
            ): "the text tower has told them",
            (
                "1 if i < min(positions) else 0",
                "int(i > max(positions))",
            ): "looks back only",
            ("range(n)", "range(n - 1)"): "numbers came back",
            ("1 if i", "2 if i"): "1 for a token that stays",
            "def keep_without(n, positions): return 'none'": "a list is wanted",
        },
        4: {
            "prompt_and_word = 'a red car at the beach'": "a pair is wanted",
            "prompt_and_word = 'a red car', 7": "both must be texts",
            "prompt_and_word = 'a red car', 'house'": "is not a word of",
            "prompt_and_word = 'a red car', 'red car'": "hide one word",
            "prompt_and_word = 'a pretty car', 'car'": "was in no caption",
            "prompt_and_word = 'a red car at the beach', 'car'": "changes a pixel by",
        },
    },
    "10_conditioning": {
        1: {
            (".reshape(-1, 1, 1, 1)", ""): "reshape it",
            (".sample", ""): "its tensor is .sample",
            (", encoder_hidden_states=prompt_embeds", ""): "heard no words",
            ("unet(noisy, t,", "unet(noisy,"): "told t",
            ("unet(noisy,", "unet(latents,"): "clean latents",
            (
                "a.sqrt() * latents + (1 - a).sqrt() * noise",
                "(1 - a).sqrt() * latents + a.sqrt() * noise",
            ): "are swapped",
            (
                "a.sqrt() * latents + (1 - a).sqrt() * noise",
                "a * latents + (1 - a) * noise",
            ): "should see sqrt(a)",
            (".mean()", ".sum()"): "take the mean",
            (".mean()", ""): "return one number",
            ("- noise)", "- latents)"): "you compare with the latents",
        },
        2: {
            ("< drop", "> drop"): "*below* drop",
            ("< drop", "< 0.1"): "with drop=0",
            ("rng.random()", "random.random()"): "the rng that you are given",
            (
                '"" if rng.random() < drop else prompt for prompt in prompts',
                "prompt for prompt in prompts if rng.random() >= drop",
            ): "must stay in the list",
            "def drop_words(prompts, drop, rng): return [''] * 200 + prompts[200:]": (
                "decide for each prompt"
            ),
        },
        3: {
            ("answers - answers.mean(0)", "answers"): "an answer of zeros",
            ("answers.mean(0)", "answers.mean()"): "over the prompts only",
            (
                "(answers - answers.mean(0)).square().mean()",
                "answers.var(0).mean()",
            ): "not by n - 1",
            (".square().mean()", ".square()"): "one number is wanted",
            (".square()", ".abs()"): "mean square distance",
        },
        4: {
            "pair = 'a red car at the beach'": "a pair is wanted",
            "pair = 1, 2": "both must be texts",
            "pair = 'a red car in the snow', 'A red  car in the snow'": "the same words",
            "pair = 'a red car', 'the red car'": "fewer than four words",
            "pair = 'a red car at night', 'a lovely red car at night'": "in no caption",
            "pair = 'a red car at the beach', 'a blue car at the beach'": (
                "as much as red and blue"
            ),
        },
    },
    "11_evaluate": {
        1: {
            ("/ error**2", "/ error"): "square it",
            ("p * (1 - p)", "p"): "not p",
            (
                "p * (1 - p) / error**2",
                "(p * (1 - p)) ** 0.5 / error",
            ): "square it first",
            ("error**2", "(error / 1.96) ** 2"): "two standard errors",
            "def my_prompts(p, error): return int(p * (1 - p) / error**2)": "round up",
            "def my_prompts(p, error): return f'{p}'": "a whole number of prompts",
        },
        2: {
            ("cats[0].x < balls", "cats[0].x > balls"): "x grows to the right",
            ("len(cats) == len(balls) == 1 and ", ""): "two cats",
            ("len(cats) == len(balls) == 1", "len(cats) == 1"): "may be missing",
            "def my_left(figures): return figures[0].x < figures[1].x": "no special order",
            "def my_left(figures): return True": "to the right of a ball",
            "def my_left(figures): 'left'": "return True or False",
        },
        3: {
            ("a.std(0) - b.std(0)", "a.var(0) - b.var(0)"): "compared variances",
            (").sum()", ").mean()"): "do not average",
            (").sum()", ")"): "add up over the features",
            ("(a.mean(0) - b.mean(0)) ** 2 + ", ""): "the means are missing",
            (" + (a.std(0) - b.std(0)) ** 2", ""): "the spreads are missing",
            (").sum()", ").sum() ** 0.5"): "no root",
        },
        4: {
            "my_side = 0": "hides nothing",
            "my_side = 2": "still sees a car",
            "my_side = 3": "steps of two",
            "my_side = 64": "look for the smallest",
            "my_side = '8'": "no whole number",
        },
    },
    "12_guidance": {
        1: {
            ("- w *", "+ w *"): "a sign is wrong",
            (
                "(1 + w) * noise_pred_text - w",
                "w * noise_pred_text - (w - 1)",
            ): "smaller by 1",
            (
                "(1 + w) * noise_pred_text - w * noise_pred_uncond",
                "(1 + w) * noise_pred_uncond - w * noise_pred_text",
            ): "swapped",
            ("(1 + w) *", "w *"): "only the push",
            ("    return ", "    "): "nothing came back",
        },
        2: {
            ("- s", "+ s"): "a sign is wrong",
            (" * (1 - a) ** 0.5", ""): "the noise rate is missing",
            (" ** 0.5", ""): "take the square root",
            ("(1 - a)", "a"): "the rate of the picture",
            ("s * ", ""): "s is missing",
            ("noise_pred - s", "-s"): "only the push",
        },
        3: {
            "my_scale = 1": "no guidance at all",
            "my_scale = 2.1": "steps of a quarter",
            "my_scale = 7.5": "a quarter less",
            "my_scale = 100": "too loud",
            "my_scale = '2'": "no number",
        },
    },
    "13_pipeline": {
        1: {
            ("noise * scheduler.init_noise_sigma", "noise"): "far too small",
            ("scheduler.scale_model_input(latents, t)", "latents"): "far too large",
            (".prev_sample", ""): "prev_sample",
            ("in scheduler.timesteps", "in range(4)"): "none of the timesteps",
            ("    return", "        return"): "not once for each",
            ("    return latents", "    return noise"): "other latents",
        },
        2: {
            ("latents / vae", "latents * vae"): "multiplied",
            (" / vae.config.scaling_factor", ""): "left as they were",
            ("vae.config.scaling_factor", "0.18215"): "another VAE's factor",
            ("pixels / 2 + 0.5", "pixels"): "halve them",
            (".sample", ""): "returns an object",
            ("pixels / 2 + 0.5", "pixels / 2"): "black should be 0",
        },
        3: {
            ("uncond, text =", "text, uncond ="): "the halves are swapped",
            ("return uncond +", "return text +"): "the formula with w",
            ("uncond + guidance_scale", "guidance_scale"): "is added to",
            (".chunk(2)", "[::2], noise_pred[1::2]"): "is not a half",
            (".chunk(2)", ".chunk(2, dim=1)"): "along the batch",
        },
        4: {
            "my_steps = 0": "the noise stays",
            "my_steps = 1": "take more",
            "my_steps = 8": "take more",
            "my_steps = 10": "take fewer",
            "my_steps = 50": "try fewer",
            "my_steps = '8'": "no whole number",
        },
    },
    "14_checkpoints": {
        1: {
            ("data[8 + length :]", "data"): "skip 8 + length bytes",
            ("data[8 + length :]", "data[length:]"): "begins after 8 bytes",
            ("data[8 + length :]", "data[8:]"): "skip it, too",
            ('"<f4"', '"<i4"'): "a float32 is 4 bytes",
            ('.reshape(header[name]["shape"])', ""): "reshape to",
            ("header[name]", 'header["first"]'): "the tensor called 'first'",
            ('"little"', '"big"'): 'the header, "little" end first',
        },
        2: {
            ("2 * sum", "sum"): "each takes 2 bytes",
            ("2 * sum", "4 * sum"): "half as many bytes",
            ("2 * sum", "16 * sum"): "a byte has 8",
            ("parameters())", "parameters() if p.requires_grad)"): "the frozen network",
            ("p.numel()", "1"): "that counts tensors",
        },
        3: {
            ('path.write_text(json.dumps(config), encoding="utf-8")', "pass"): (
                "no config has changed"
            ),
            ("json.dumps(config)", "str(config)"): "write json.dumps(config)",
            ('"scaling_factor"] = 0.18215', '"norm_num_groups"] = 7'): "not quiet",
            ('"scaling_factor"] = 0.18215', '"sample_size"] = 32'): "is the same",
            ('"scaling_factor"]', '"sample_size"] = config["act_fn"]'): "have changed",
        },
    },
    "15_edit": {
        1: {
            ("n - int(n * strength) :", ": int(n * strength)"): "the first timesteps",
            ("n - int(n * strength) :", "int(n * strength) :"): "not to skip",
            ("add_noise(picture, noise,", "add_noise(noise, picture,"): "swapped",
            (
                "scheduler.add_noise(picture, noise, timesteps[:1])",
                "picture",
            ): "no noise",
            ("picture, noise, timesteps[:1]", "picture, noise, timesteps[-1:]"): (
                "belongs to the first timestep"
            ),
            ("return timesteps, ", "return "): "return two things",
        },
        2: {
            ("(painted, original, mask)", "(original, painted, mask)"): "swapped",
            ("Image.composite(painted, original, mask)", "painted"): "outside the mask",
            ("Image.composite(painted, original, mask)", "original"): "inside the mask",
            ("Image.composite(painted, original, mask)", "original.paste(painted)"): (
                "return a PIL picture"
            ),
            (
                "original, mask)",
                "original, mask.resize((8, 8), 0).resize((64, 64), 0))",
            ): "not its 8-pixel blocks",
        },
        3: {
            ("return mixed / torch.sin(angle)", "return a.lerp(b, share)"): "straight",
            (
                "* a + torch.sin(share * angle) * b",
                "* b + torch.sin(share * angle) * a",
            ): ("the shares are swapped"),
            (" / torch.sin(angle)", ""): "sine",
            (" / a.norm() / b.norm()", ""): "divided by both norms",
            ("torch.arccos((", "(("): "the spread should stay near 1",
        },
        4: {
            "def my_changes(): return 'a red car'": "return three prompts",
            ("a red car on the grass", "a red cat on the grass"): "the lesson had cats",
            ('easy, hard = "a blue car', 'easy, hard = "a red car'): "obeys the easy",
            (
                '"a blue car on the grass"',
                '"a blue car at night"',
            ): "the easy prompt: 5",
            ('"a red car at night"', '"a green car on the grass"'): "that needs more",
            ('"a blue car on', '"a blue zebra on'): "must name one noun",
        },
    },
    "16_adapt": {
        1: {
            ("B @ A", "A @ B"): "A @ B is not",
            ("W + ", ""): "the change alone",
            ("alpha / len(A) * ", ""): "the scale alpha/r is missing",
            ("alpha / len(A)", "alpha"): "divide by the rank",
            ("alpha / len(A)", "len(A) / alpha"): "upside down",
            ("len(A)", "len(B)"): "the short side",
        },
        2: {
            (" / (n_in * n_out)", ""): "a share",
            ("(n_in + n_out)", "n_in"): "one of the two matrices",
            ("(n_in + n_out) / ", "r / "): "do not multiply",
            "def my_share(n_in, n_out, r): return '17%'": "return one number",
        },
        3: {
            (".detach()", ""): "the table is trained too",
            (
                "table.detach(), vector[None]",
                "vector[None], table.detach()",
            ): "goes last",
            ("vector[None]", "vector"): "makes a row of a vector",
            ("vector[None]", "vector[None].detach()"): "no gradient reaches",
            (", vector[None]]", "]"): "one row more",
        },
        4: {
            "def my_words(): return 'orange'": "return two words",
            "def my_words(): return 'crimson', 'car'": "no color of the world",
            "def my_words(): return 'red', 'dog'": "no noun of the world",
            "def my_words(): return 'orange', 'apple'": "this sum works",
        },
    },
    "17_recipe": {
        1: {
            ("    return names", "    names"): "return a list",
            ("return names", "return set(names)"): "return a list of names",
            ("all(o in done", "any(o in done"): "that need nothing",
            ("name not in done and ", ""): "need not be started again",
            (" and all(o in done for o in needed)", ""): "clip cannot start",
            "def ready(needs, done): return 'tokenizer'": "return a list of names",
        },
        2: {
            "my_prompt = 3": "type a prompt in quotes",
            "my_prompt = ' '": "the empty prompt asks for nothing",
            "my_prompt = 'a red cat'": "of the 4 pictures obey",
            "my_prompt = 'a purple zebra'": "not the model's fault",
            "my_prompt = 'red'": "the judge cannot read that",
        },
    },
    "18_fast": {
        1: {
            ("steps + inside if", "2 * steps if"): "outside of the interval has one",
            ("steps + inside if", "2 * inside if"): "are steps, too",
            ("steps + inside if", "steps if"): "a guided step has two rows",
            (" if guidance_scale > 1 else steps", ""): "there is no second row",
            (
                "return steps + inside",
                "return 1.0 * steps + inside",
            ): "whole number, not",
            ("return steps", "steps"): "nothing came back",
        },
        2: {
            ("1 - p + p / k", "1 / (1 - p + p / k)"): "turn it over",
            ("1 - p + p / k", "p / k"): "the other parts need their time",
            ("1 - p + p / k", "1 - p"): "the part itself still takes p / k",
            ("p / k", "p * k"): "means p / k, not p * k",
            ("return 1", "1"): "nothing came back",
            ("1 - p + p / k", "1 - p / k"): "takes p and not everything",
        },
        3: {
            "my_settings = dict(num_inference_steps=30)": "60 rows a picture",
            "my_settings = dict(num_inference_steps=2)": "of six pictures obey",
            "my_settings = dict(num_inference_steps=1)": "spend the rows",
            "my_settings = {}": "20 rows a picture",
            "my_settings = 6": "give a dictionary",
            "my_settings = dict(steps=6)": "There is no setting 'steps'",
        },
    },
    "18b_distill": {
        1: {
            (
                "a_prev**0.5 * guess + (1 - a_prev) ** 0.5 * noise",
                "(1 - a_prev) ** 0.5 * guess + a_prev**0.5 * noise",
            ): "swapped",
            (
                "a_prev**0.5 * guess + (1 - a_prev) ** 0.5 * noise",
                "a_prev * guess + (1 - a_prev) * noise",
            ): "square roots",
            (" + (1 - a_prev) ** 0.5 * noise", ""): "fresh noise is missing",
            ("a_prev**0.5 * guess", "guess"): "the picture fades",
            ("    return ", "    "): "nothing came back",
        },
        2: {
            "my_prompt = 3": "no text",
            "my_prompt = 'a cat'": "one jump is enough",
            "my_prompt = 'a zebra'": "must name one noun",
            "my_prompt = 'two cats next to a car'": "too hard",
        },
    },
    "19_scratch": {
        1: {
            "order = 'DFEA'": "F swaps the halves",
            "order = 'DBCA'": "walks away from them",
            "order = 'DBA'": "four lines",
            "order = 'BDEA'": "without D",
            "order = 'DBAE'": "A takes the step",
            "order = 'DEBA'": "E needs the two halves",
            "order = 'DBEX'": "there is no line X",
            "order = ['D', 'B', 'E', 'A']": "as a text",
        },
        2: {
            "short_text = 'zqx'": "a character of English is one byte",
            "short_text = 'pandemonium'": "three are allowed",
            "short_text = 'éüß'": "two bytes or so",
            "short_text = ' '": "nothing in it",
            "short_text = None": "a text in quotes",
        },
    },
    "20_playground": {
        1: {
            "lucky_seed = 0": "the judge finds fault with: count",
            "lucky_seed = [2, 5]": "one seed is enough",
            "lucky_seed = 2.0": "a whole number, not 2.0",
            "lucky_seed = True": "a whole number, not True",
            "lucky_seed = None": "a whole number, not None",
            "lucky_seed = -1": "from 0 to 99, not -1",
        },
        2: {
            "hard_prompt = 'a cat'": "with 4 of 4 seeds",
            "hard_prompt = 'a purple zebra'": "never seen zebra",
            "hard_prompt = ' '": "nothing can fail",
            "hard_prompt = ['a cat']": "a prompt is a text",
            "hard_prompt = 'red is the sky'": "must name one noun",
        },
        3: {
            "too_late = 0": "only the second prompt",
            "too_late = 3": "still finds two cats",
            "too_late = 9": "it is too late already",
            "too_late = 11": "ten steps",
            "too_late = 0.5": "is whole, not 0.5",
            "too_late = None": "is whole, not None",
        },
    },
    "21_clinic": {
        1: {
            "def my_plan(expected): return list(expected)[0]": "cannot tell them apart",
            "def my_plan(expected): return list(expected)[1]": "cannot tell them apart",
            "def my_plan(expected): return 'fever'": "return one of decoder input",
            "def my_plan(expected): return 3.0": "return one of decoder input",
            "def my_plan(expected): return list(expected)": "return one of decoder input",
            "def my_plan(expected): max(expected)": "nothing came back",
            (
                "max(expected, key=closest)",
                "min(expected, key=closest)",
            ): "tell them apart",
            ("min(b - a", "max(b - a"): "cannot tell them apart",
        },
        2: {
            ("seed=1", "seed=0"): "two different seeds",
            (".abs()", ""): "cannot cancel",
            (".item()", ""): "take .item()",
            (".mean().item()", ""): "take .item()",
            (
                "PROMPTS, seed=1",
                "PROMPTS[1:] + PROMPTS[:1], seed=1",
            ): "the same prompts",
            ("return (one", "(one"): "nothing came back",
            (
                "(one - other).abs().mean().item()",
                "float((one == other).all())",
            ): "turned it over",
            "def my_test(patient): return False": "return a plain number",
        },
        3: {
            "my_diagnosis = 'wrong-coefficient'": "give two texts",
            "my_diagnosis = ('wrong-coefficient', 'two seeds')": "A lucky guess",
            "my_diagnosis = ('wrong-coefficient', 'guidance')": "A lucky guess",
            "my_diagnosis = ('timesteps', 'times told')": "the scheduler's timesteps",
            "my_diagnosis = ('scheduler-stepped-twice', 'steps a look')": "one step, not two",
            "my_diagnosis = ('bad luck', 'guidance')": "There is no fault",
            "my_diagnosis = ('wrong-coefficient', 'fever')": "There is no test",
        },
    },
    "21b_doctor": {
        1: {
            ("return ((used", "((used"): "nothing came back",
            (
                "((used - uncond) * direction).sum() / (direction * direction).sum()",
                "(used - uncond) / direction",
            ): "one number for all",
            ("text - uncond", "uncond - text"): "the sign is wrong",
            (
                "((used - uncond) * direction).sum() / (direction * direction).sum()",
                "(direction * direction).sum() / ((used - uncond) * direction).sum()",
            ): "upside down",
            ("(used - uncond)", "(used - text)"): "start from uncond",
            (" / (direction * direction).sum()", ""): "divide by the direction",
            ("(direction * direction).sum()", "direction.norm()"): "times itself",
            "def heard_scale(uncond, text, used): return '7.5'": "give a number",
        },
        2: {
            "my_slip = 5": "give a dictionary",
            "my_slip = dict(shift=0)": "this is the healthy loop",
            "my_slip = dict(scale=-3.0)": "turn it less",
            "my_slip = dict(speed=2)": "there is no knob 'speed'",
            "my_slip = dict(shift=1.5)": "whole timesteps",
            "my_slip = dict(shift='one')": "must be a number",
            "my_slip = dict(scale=3.05)": "finds nothing wrong either",
            "my_slip = dict(factor=0)": "divided by zero",
            "my_slip = dict(steps=1.5)": "steps are whole",
        },
        3: {
            (
                "(healthy * ill) ** 0.5",
                "(healthy + ill) / 2",
            ): "middle of the difference",
            (" ** 0.5", ""): "outside of the gap",
            ("(healthy * ill) ** 0.5", "healthy"): "outside of the gap",
            (
                "(healthy * ill) ** 0.5",
                "2 * (healthy * ill) ** 0.5",
            ): "make both the same",
            ("return (", "("): "nothing came back",
            "def fair_limit(healthy, ill): return '1e-4'": "is no number",
            "def fair_limit(healthy, ill): return 1e-4": "for other numbers, too",
        },
    },
}


def mistaken(solution, mistake):
    """The code of a wrong answer."""
    if isinstance(mistake, str):
        return mistake
    old, new = mistake
    assert old in solution, f"the solution has no {old!r} that could be mistaken"
    return solution.replace(old, new)


@functools.cache
def answers_to_mistakes(path):
    """What each exercise of a lesson prints for each of its mistakes, after one run of the rest."""
    names = {"__name__": "__main__", "display": lambda *args: None}
    printed, number = {}, 0
    for cell, solution in pieces(section_of(path)):
        if is_exercise(cell):
            number += 1
            for mistake in MISTAKES.get(path.stem, {}).get(number, {}):
                wrong = mistaken(solution, mistake)
                printed[number, mistake] = said_to(solved(cell, wrong), dict(names))
        source = solved(cell, solution) if solution else cell.source
        said_to(source, names)
    return printed


def said_to(source, names):
    """What a cell prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, TITLE, "exec"), names)
    return out.getvalue().strip()


NAMED = [
    pytest.param(path, number, mistake, id=f"{path.stem}-{number}-{i}")
    for path in LESSONS
    for number, mistakes in MISTAKES.get(path.stem, {}).items()
    for i, mistake in enumerate(mistakes, 1)
]


@pytest.mark.parametrize("path, number, mistake", NAMED)
def test_a_mistake_is_answered_by_a_sentence(path, number, mistake):
    words = MISTAKES[path.stem][number][mistake]
    answer = answers_to_mistakes(path)[number, mistake]
    assert answer.startswith("Not yet: ") and words in answer, answer
    assert "\n" not in answer and len(answer) < 400, answer


@pytest.mark.parametrize("path, number", EXERCISES)
def test_an_exercise_knows_four_mistakes(path, number):
    if path in LESSONS:
        known = MISTAKES.get(path.stem, {}).get(number + 1, {})
        assert len(known) >= 4, "write into MISTAKES what a reader may well answer"


# A Parsons problem stands in the middle of a lesson, before the code whose lines it mixes.
ORDERS = {
    "05_training": {
        "hebdgacf": "Right.",
        "hcebdgaf": "Right.",
        "hebdgafc": "Right.",
        "hebdcgaf": "wipes the gradients",
        "hebdagcf": "clip (g) before the step",
        "hebadgcf": "the step (a) needs gradients",
        "hbedgacf": "the generator (e) must be there first",
        "hedbgacf": "find the loss (b) before d",
        "hebgdacf": "backward (d) makes them",
        "hebdgfac": "would miss this step",
        "ehbdgacf": "h opens it",
        "hebdga": "each letter from a to h once",
    },
    "13_pipeline": {
        "CBEDA": "Right.",
        "c b e d a": "Right.",
        "BCEDA": "set them before it",
        "CEBDA": "belong into the loop",
        "CBEAD": "ask the UNet first",
        "CBDEA": "scale the latents first",
        "CBED": "each of the letters A to E once",
    },
}


@pytest.mark.parametrize(
    "lesson, order", [(k, o) for k, v in ORDERS.items() for o in v]
)
def test_lines_in_another_order(lesson, order):
    path = next(path for path in LESSONS if path.stem == lesson)
    cells = nbformat.read(path, as_version=4).cells
    check = next(cell for cell in cells if "def check_order" in cell.source)
    name = re.search(r"def (check_order\w*)", check.source)[1]
    names = {}
    said_to("from sdlearn.core import verdict\n" + check.source, names)
    said = said_to(f"verdict({name}, {order!r})", names)
    assert ORDERS[lesson][order] in said


def code(source):
    return nbformat.v4.new_code_cell(source)


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


EXERCISE = code("# exercise\nanswer = ...\nverdict(print, answer)")
NO_VERDICT = code("# exercise\nanswer = ...")
NO_BLANK = code("# exercise\nverdict(print, 1)")
ANSWER = markdown(
    "<details><summary>Solution</summary>\n\n```python\nanswer = 1\n```\n\n</details>"
)
INCOMPLETE = {
    "0 exercises": [],
    "exercise 2 has no solution": [EXERCISE, ANSWER, EXERCISE],
    "exercise 1 has no solution": [EXERCISE, EXERCISE, ANSWER],
    "does not end in its verdict": [NO_VERDICT, ANSWER] * 2,
    "has no blank": [NO_BLANK, ANSWER] * 2,
}


@pytest.mark.parametrize("words, cells", INCOMPLETE.items(), ids=INCOMPLETE)
def test_an_incomplete_section_is_found(words, cells):
    said = complaints(section([markdown(TITLE), *cells]))
    assert [complaint for complaint in said if words in complaint]


def test_a_complete_section_is_not_complained_of():
    complete = [markdown(TITLE), EXERCISE, ANSWER, EXERCISE, ANSWER]
    assert not list(complaints(section(complete)))
