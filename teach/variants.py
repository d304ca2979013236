"""Other numbers for the exercises, so that neighbours cannot share an answer.

An exercise varies where its own statement gives a number, a word or letters that another
choice serves as well. Each template below stands, filled in with the course's own
values, in the exercise's cells; a student's version has it with other values.
"""

import hashlib
import re
from dataclasses import dataclass
from itertools import permutations, product

# The rows of a table whose lines are named by letters.
LETTERED = re.compile(r"(?:^\| [A-Z] \| .*\n?)+", re.MULTILINE)


@dataclass(frozen=True)
class Variation:
    """What can be another one in an exercise."""

    templates: tuple  # texts of its cells with {names} for what varies
    own: dict  # the course's values
    others: list  # of dictionaries: what a student may get instead

    def numbers(self, choice):
        """The texts to be replaced, and by what."""
        values = self.others[choice]
        return {o.format(**self.own): o.format(**values) for o in self.templates}


def vary(texts, numbers):
    """The texts of an exercise with other numbers; a ValueError if one is not found."""
    missing = [old for old in numbers if not any(old in text for text in texts)]
    if missing:
        raise ValueError(
            f"teach/variants.py: no cell of the exercise has {missing[0]!r} any more: "
            "write there what the exercise says now."
        )
    longest_first = sorted(numbers, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    changed = [pattern.sub(lambda found: numbers[found[0]], text) for text in texts]
    return [LETTERED.sub(sorted_rows, text) for text in changed]


def sorted_rows(table):
    """The rows of a table by their letters."""
    rows = table[0].rstrip("\n")
    return "\n".join(sorted(rows.split("\n"))) + table[0][len(rows) :]


def draw(count, *words):
    """A number below `count`, always the same for the same words."""
    text = " ".join(map(str, words))
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % count


def choose(students, exercises, seed=0):
    """Which choice each student has of each exercise: {student: {exercise: choice}}.

    In the order of the list nobody has the choice of the one before.
    """
    chosen, before = {}, {}
    for student in students:
        before = {key: choice_of(student, key, seed, before) for key in exercises}
        chosen[student] = before
    return chosen


def choice_of(student, key, seed, before):
    count = len(VARIATIONS[key].others)
    choice = draw(count, seed, student, *key)
    return (choice + (choice == before.get(key))) % count


# Lesson 00


def shape_of(channels, factor, part):
    return {
        "words": f"The latents of another autoencoder have {channels} *channels*, that is, "
        f"{channels} numbers at each place, and {part}",
        "c": channels,
        "f": factor,
        "h": 512 // factor,
        "w": 768 // factor,
        "small": 64 // factor,
        "latents": "these latents",
        "have": channels,
    }


OWN_SHAPE = shape_of(4, 8, "an eighth") | {
    "words": "Stable Diffusion's latents have 4 *channels*, that is, "
    "4 numbers at each place, and an eighth",
    "latents": "latents",
    "have": "four",
}
PARTS = {4: "a quarter", 8: "an eighth", 16: "a sixteenth", 32: "a thirty-second"}
SHAPES = Variation(
    (
        "{words}",
        '(1, 3, {h}, {w}), "three channels are for pixels; {latents} have {have}"',
        "(1, {c}, {w}, {h}),",
        "(1, {c}, 512, 768),",
        "divide by {f}",
        "(1, {h}, {w}, {c}),",
        "(1, {c}, {h}, {w}),",
        "divided by {f} are {h} and {w}",
        "(1, {c}, {small}, {small})",
        "(1, {c}, height // {f}, width // {f})",
    ),
    OWN_SHAPE,
    [shape_of(c, f, PARTS[f]) for c, f in product((8, 16, 32), PARTS)],
)
TWO_SEEDS = Variation(
    (
        "from seeds {a} and {b},",
        "four_steps({a}), four_steps({b})",
        "wrong order: {a} comes first",
        "the picture of seed {a} in 4",
        "make_generator({a}) and",
        "the picture of seed {b} in 4",
        "in ({a}, {b}):",
    ),
    {"a": 0, "b": 1},
    [{"a": a, "b": a + b} for a, b in product(range(2, 42, 5), (1, 2, 3))],
)


def hundred(first):
    return {
        "find": f"Find a seed from {first} to {first + 99} whose",
        "limits": f'{first} <= seed < {first + 100}, "take a seed from {first} to {first + 99}"',
        "tried": f"range({first}, {first + 100})",
        "told": "Nothing",
    }


SUNS = Variation(
    ("{find} panda", "{limits}", "for seed in {tried}:", "{told} in the prompt says"),
    {
        "find": "Find a seed whose",
        "limits": '0 <= seed < 1000, "take a seed from 0 to 999"',
        "tried": "range(20)",
        "told": "Of the six seeds drawn above, two do it (3 and 5). Nothing",
    },
    [hundred(first) for first in range(100, 5000, 100)],
)

# Lesson 01


def thousand(first):
    last = first + 999
    return {
        "told": f"seed from {first} to {last} whose",
        "limits": f'{first} <= seed < {last + 1}, "take a seed from {first} to {last}"',
        "tried": f"range({first}, {last + 1})",
        "counted": "how many",
    }


ODD_SEEDS = Variation(
    ("{told} noise", "{limits}", "in {tried} if", "says {counted} of the thousand"),
    {
        "told": "seed from 0 to 999 whose",
        "limits": '0 <= seed < 1000, "take a seed from 0 to 999"',
        "tried": "range(1000)",
        "counted": "that 22",
    },
    [thousand(first) for first in range(1000, 40000, 1000)],
)

# Lessons 04 and 19: lines to be put in order


def in_letters(right, templates, letters="ABCDEF", every=37):
    """The same lines under other letters; `right` is the order in the course's letters."""
    rows = [f"| {{{letter}}} |" for letter in letters]
    order = "".join(f"{{{letter}}}" for letter in right)
    own = dict(zip(letters, letters))
    mixed = list(permutations(letters))[every::every]
    others = [dict(zip(letters, names)) for names in mixed]
    others = [names for names in others if order.format(**names) != right]
    return Variation((*rows, f'"{order}"', *templates), own, others)


BLOCK = in_letters(
    "CFAD",
    (
        '"{B}" not in letters, "{B} forgets',
        '"{E}" not in letters',
        "{E} bends",
        'letters[-1] == "{D}", "{D} returns',
        'letters[0] == "{C}", "only {C} can',
    ),
)
GUIDED_STEP = in_letters(
    "DBEA",
    (
        '"{F}" not in letters',
        "{F} swaps",
        '"{C}" not in letters',
        "{C} starts",
        'letters[0] == "{D}", "without {D} there',
        'letters[-1] == "{A}"',
        "{A} takes",
        '"{E} needs the two halves that {B} makes"',
    ),
)


def picture_error(a, loss):
    kept = round(1 - a, 2)
    return {"a": a, "loss": loss, "kept": kept, "error": f"{loss * kept / a:.6g}"}


PICTURE_ERRORS = Variation(
    (
        "`alphas_cumprod[t]` is {a}, and the loss there is {loss}",
        "{loss} * {a} / {kept}",
        "{loss} * ({kept} / {a}) ** 0.5",
        '{loss} / {a}: "almost',
        '{loss}: "that is the error',
        "error - {error})",
        "error = {loss} * (1 - {a}) / {a}  # {error}{told}",
    ),
    picture_error(0.02, 0.01)
    | {"told": ", far worse than the mean digit above, although the loss looks small"},
    [
        picture_error(a, loss) | {"told": ", although the loss looks small"}
        for a, loss in product((0.03, 0.04, 0.05, 0.08), (0.015, 0.02, 0.025, 0.03))
    ],
)

# Lesson 05


def memory(decay):
    length = round(1 / (1 - decay))
    left = f"{decay**length:.2f}"
    return {"d": decay, "length": length, "half": length // 2, "left": left}


HALF_LIVES = Variation(
    (
        "`ema_decay={d}`",
        "steps != {length}",
        "{length} = 1/(1 - {d})",
        "; {left} is left",
        "steps != {half}",
        "leaves {d} of it",
        "{d}**steps",
        "{d} ** (steps - 1)",
        "left *= {d}",
        "# {told}",
    ),
    memory(0.98) | {"told": "35; with the default of 0.999 it would be 693"},
    [
        memory(d) | {"told": "With the default of 0.999 it would be 693"}
        for d in (0.9, 0.95, 0.975, 0.9875, 0.99, 0.995, 0.996, 0.998)
    ],
)

# Lesson 06


def placing(ten, n):
    return {"ten": ten, "n": n, "stride": 1000 // n, "told": "Long"}


MANY = {"five": 5, "eight": 8, "twenty": 20, "twenty-five": 25, "forty": 40}
PLACINGS = Variation(
    (
        "spiral in {ten} steps",
        "Place the {ten} steps",
        "what {ten} equal",
        "miss(range(999, -1, -{stride}))`",
        "dots by a list of {ten}",
        "give a list of {ten}",
        "len(timesteps) == {n}",
        'timesteps, not {ten}"',
        "equal = range(999, -1, -{stride})",
        "these are the {ten} equal",
        "and {ten} equal",
        "(1 - i / {n}) ** 2) for i in range({n})",
        "# {told} strides",
    ),
    placing("ten", 10) | {"told": "999, 809, 639 ... 90, 40, 10: long"},
    [placing(*how) for how in MANY.items()],
)

# Lessons 07 and 10: two prompts that say the same, of a thing that is named

THINGS = ["horse", "bird", "boat", "house", "tree", "ball", "star", "fish"]


def two_prompts(noun):
    return {
        "noun": noun,
        "must": f"Both must speak of a {noun} and be made",
        "words": f"Both must speak of a {noun}, with four words at least",
        "first": demand(noun, "(first, second)"),
        "both": demand(noun, "pair"),
    }


def demand(noun, prompts):
    return (
        f'    strangers = [o for o in {prompts} if "{noun}" not in o.lower().split()]\n'
        f'    assert not strangers, f"{{strangers[0]!r}} speaks of no {noun}"\n'
    )


OWN_PROMPTS = {
    "must": "Both must be made",
    "words": "Four words each at least",
    "first": "",
    "both": "",
}
SAME_WORDS = Variation(
    (
        "{must} of words",
        "{first}    strange = unknown",
        '"a photo of a red {noun}", "a picture of a red {noun}"',
    ),
    OWN_PROMPTS | {"noun": "cat"},
    [two_prompts(noun) for noun in THINGS],
)
SAME_ANSWER = Variation(
    (
        "*a red {noun} at the beach* becomes *a blue {noun} at the beach*. {words}",
        "{both}    unknown = [word for prompt in pair",
        '"a red {noun} at the beach", "a blue {noun}',
        '"a red {noun} at the beach", "a photo of a red {noun} at',
    ),
    OWN_PROMPTS | {"noun": "car"},
    [two_prompts(noun) for noun in THINGS],
)

# Lesson 09


def table_of(width, height, heads):
    places = width // 8 * (height // 8)
    told = f"{2 * heads * places**2 * 2 / 1e9:.1f} GB"
    return {"w": width, "h": height, "heads": heads, "told": told}


SIZES = [(512, 512), (640, 512), (768, 768), (896, 640), (1024, 768), (1024, 1024)]
TABLES = Variation(
    (
        "draws {w} x {h} pixels",
        "layer with {heads} heads",
        "({w} // 8) * ({h} // 8)",
        "2 * {heads} * places**2 * 2",
        "({w} * {h}) ** 2 * 2 * {heads} * 2",
        "2 * {heads} * places * 2",
        'right // {heads}, "the {heads} heads',
        "2 * {heads} * places * places * 2  # {told}",
    ),
    table_of(768, 512, 8),
    [table_of(w, h, heads) for (w, h), heads in product(SIZES, (5, 10, 20))],
)

# Lesson 13

FEW_STEPS = Variation(
    ("than {limit} away", "far < {limit}", "far >= {limit}", "(my_steps) >= {limit}"),
    {"limit": 0.03},
    [{"limit": limit} for limit in (0.022, 0.06, 0.1)],
)

# By lesson and by the check of the exercise.
VARIATIONS = {
    ("00_tour", "check_latent_shape"): SHAPES,
    ("00_tour", "check_two_seeds"): TWO_SEEDS,
    ("00_tour", "check_sun_on_the_right"): SUNS,
    ("01_core", "check_odd_seed"): ODD_SEEDS,
    ("04_denoiser", "check_order"): BLOCK,
    ("04_denoiser", "check_error"): PICTURE_ERRORS,
    ("05_training", "check_half_life"): HALF_LIVES,
    ("06_samplers", "check_placing"): PLACINGS,
    ("07_text", "check_alike"): SAME_WORDS,
    ("09_attention", "check_bytes"): TABLES,
    ("10_conditioning", "check_alike_to_unet"): SAME_ANSWER,
    ("13_pipeline", "check_steps"): FEW_STEPS,
    ("19_scratch", "check_order_of_sampling"): GUIDED_STEP,
}
