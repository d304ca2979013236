"""The picture world keeps its promises: true captions, clean splits, exact masks, nouns in one function."""

import hashlib
import random

import numpy as np
import pytest

from sdlearn.drawings import COLORS, NOUNS, PLACES, RED, art, noun
from sdlearn.scenes import RELATIONS, Scene, Thing, draw, masks, truth
from sdlearn.world import (
    HELD_OUT_PROMPTS,
    caption,
    parse,
    sample_pictures,
    sample_scene,
    split_of,
    vocabulary,
)


@pytest.fixture(scope="module")
def scenes():
    rng = random.Random(0)
    return [sample_scene(rng, None) for _ in range(2000)]


def fits(said, real):
    goes_without_saying = not said.color and real.color in NOUNS[real.noun].natural
    same_color = said.color == real.color or goes_without_saying
    return same_color and (said.noun, said.size, said.count) == (
        real.noun,
        real.size,
        real.count,
    )


def says_true(text, scene):
    said = parse(text)
    if said.relation != scene.relation or said.place not in (None, scene.place):
        return False
    return all(fits(*pair) for pair in zip(said.things, scene.things, strict=True))


def keeps(scene):
    (ax, ay, aX, aY), (bx, by, bX, bY) = (t["box"] for t in truth(scene))
    held = {
        "left of": ax + aX < bx + bX,
        "right of": ax + aX > bx + bX,
        "above": aY <= by + 1,
        "below": bY <= ay + 1,
        "riding": aY < bY,
        "sitting on": aY < bY,
        "next to": aX <= bx + 2 or bX <= ax + 2,
    }
    return held.get(scene.relation, True)


def test_no_caption_is_false(scenes):
    rng = random.Random(1)
    assert [
        t for s in scenes for t in (caption(s), caption(s, rng)) if not says_true(t, s)
    ] == []
    assert not says_true("a green cat", Scene((Thing("cat", "red"),)))


def test_vocabulary_is_exactly_what_captions_use(scenes):
    rng = random.Random(2)
    assert {
        w for _ in range(3) for s in scenes for w in caption(s, rng).split()
    } == set(vocabulary())
    assert len(vocabulary()) <= 90


def test_articles(scenes):
    words = [caption(s).split() for s in scenes]
    assert all(
        (a == "an") == (b[0] in "aeiou")
        for text in words
        for a, b in zip(text, text[1:])
        if a in ("a", "an")
    )


def test_splits():
    rng = random.Random(3)
    assert {split_of(sample_scene(rng)) for _ in range(1000)} == {"train"}
    assert {split_of(sample_scene(rng, "held-out")) for _ in range(100)} == {"held-out"}


def test_about_a_tenth_is_held_out(scenes):
    assert 0.07 < np.mean([split_of(s) == "held-out" for s in scenes]) < 0.13


@pytest.mark.parametrize("prompt", HELD_OUT_PROMPTS)
def test_famous_prompts_are_never_trained(prompt):
    asked = parse(prompt)
    for color in COLORS:
        things = tuple(
            Thing(t.noun, color if NOUNS[t.noun].natural else None, "big")
            for t in asked.things
        )
        assert split_of(Scene(things, asked.relation, asked.place)) == "held-out"


def test_every_word_alone_is_trained():
    lone = [Scene((Thing(n),)) for n in NOUNS]
    assert {split_of(s) for s in lone} == {"train"}
    rng = random.Random(4)
    train = [sample_scene(rng) for _ in range(2000)]
    assert {t.noun for s in train for t in s.things} == set(NOUNS)
    assert {t.color for s in train for t in s.things} >= set(COLORS)
    assert {s.place for s in train} == set(PLACES)
    assert {s.relation for s in train} == {None, *RELATIONS}


def test_held_out_place_holds_for_one_of_two():
    assert split_of(parse("a monkey in the river and a boat")) == "held-out"
    assert split_of(parse("a boat to the right of a monkey in the river")) == "held-out"


def test_same_scene_same_picture(scenes):
    for scene in scenes[:20]:
        assert draw(scene).tobytes() == draw(Scene(**vars(scene))).tobytes()
    a, b = (sample_pictures(8, 5)[0] for _ in range(2))
    assert a.shape == (8, 64, 64, 3) and a.dtype == np.uint8 and (a == b).all()


def test_split_does_not_change_by_itself():
    """Shipped weights have seen the train split of this very hash."""
    rng = random.Random(6)
    told = "".join(split_of(sample_scene(rng, None))[0] for _ in range(1000))
    assert hashlib.sha256(told.encode()).hexdigest()[:8] == "ef98809a"


def test_masks_and_boxes_agree(scenes):
    for scene in scenes[:300]:
        m, records = masks(scene), truth(scene)
        assert len(m) == len(records) == sum(t.count for t in scene.things)
        assert m.sum(0).max() == 1 and m.sum((1, 2)).min() > 100
        for own, record in zip(m, records):
            x0, y0, x1, y1 = record["box"]
            assert (
                own[y0:y1, x0:x1].sum() == own.sum()
                and 0 <= x0 < x1 <= 64
                and 0 <= y0 < y1 <= 64
            )


def test_figures_stand_where_their_relation_says(scenes):
    assert [caption(s) for s in scenes if s.relation and not keeps(s)] == []


@pytest.mark.parametrize("color", COLORS)
def test_a_thing_has_its_color(color):
    scene = Scene((Thing("apple", color),))
    shown = np.asarray(draw(scene))[masks(scene)[0]].astype(int)
    nearest = min(COLORS, key=lambda c: np.abs(np.median(shown, 0) - COLORS[c]).sum())
    assert nearest == color


def test_any_size():
    scene = Scene((Thing("star", "yellow"),), place="at night")
    assert draw(scene, 256).size == (256, 256) and masks(scene, 256).shape == (
        1,
        256,
        256,
    )
    small = np.asarray(draw(scene, 256).reduce(4), int)
    assert np.abs(small - np.asarray(draw(scene), int)).mean() < 8


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match="take one of panda"):
        parse("a dog on the grass")


def test_a_scene_has_one_caption_and_many(scenes):
    rng = random.Random(5)
    for scene in scenes[:20]:
        assert caption(scene) == caption(scene)
    riding = next(s for s in scenes if s.relation == "riding" and s.place)
    assert len({caption(riding, rng) for _ in range(100)}) > 5


def test_a_split_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="'test'"):
        sample_scene(random.Random(0), "test")


# A noun is one function


@pytest.fixture
def pumpkin():
    @noun(natural=("orange",), seat=(0.5, 0.1), mouth=(0.5, 0.7))
    def pumpkin(p):
        p.oval(0.5, 0.6, 0.45, 0.4)
        p.oval(0.5, 0.6, 0.2, 0.4, p.dark)
        p.limb([(0.5, 0.25), (0.55, 0.05)], 0.1, COLORS["green"])

    yield "pumpkin"
    del NOUNS["pumpkin"]


def test_a_new_noun_is_drawn_captioned_parsed_and_told(pumpkin):
    scene = parse("a blue pumpkin to the left of a house at night")
    assert scene.things[0] == Thing("pumpkin", "blue")
    assert truth(scene)[0]["noun"] == "pumpkin"
    assert masks(scene)[0].sum() > 100
    assert draw(scene).tobytes() != draw(Scene(scene.things[1:])).tobytes()
    assert says_true(caption(scene), scene)
    assert {"pumpkin", "pumpkins"} <= set(vocabulary())


def test_a_new_noun_is_sampled_and_keeps_its_promises(pumpkin):
    rng = random.Random(7)
    scenes = [sample_scene(rng, None) for _ in range(3000)]
    own = [s for s in scenes if "pumpkin" in {t.noun for t in s.things}]
    assert len(own) > 100
    assert {None, "eating", "sitting on", "above"} <= {s.relation for s in own}
    assert [caption(s) for s in own if not says_true(caption(s), s)] == []
    assert [caption(s) for s in own if s.relation and not keeps(s)] == []
    for scene in own[:50]:
        assert masks(scene).sum((1, 2)).min() > 100


def test_another_drawing_under_the_same_name_is_drawn_anew(pumpkin):
    before = draw(parse("a pumpkin"))

    @noun(natural=("orange",))
    def pumpkin(p):
        p.box(0.1, 0.1, 0.9, 1)

    assert draw(parse("a pumpkin")).tobytes() != before.tobytes()


def test_what_cannot_be_a_noun_is_refused():
    def orange(p): ...

    def ice_cream(p): ...

    for draw_it in (orange, ice_cream):
        with pytest.raises(ValueError, match=draw_it.__name__):
            noun()(draw_it)
    with pytest.raises(ValueError, match="gray"):
        noun(natural=("gray",))
    with pytest.raises(ValueError, match="red"):
        noun(natural="red")
    assert len(NOUNS) == 20


def test_drawings_are_kept():
    assert art(NOUNS["cat"].draw, RED) is art(NOUNS["cat"].draw, RED)
