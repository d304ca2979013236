import { expect, test } from "vitest";
import { changed, DEFAULT_STATE, fromLink, otherOrderOf, toLink } from "../src/state";
import { SaidError } from "../src/engine/types";
import { info } from "./facts";

test("the page begins with the model's own settings", () => {
  const { steps, guidance } = DEFAULT_STATE;
  expect({ steps, guidance }).toEqual({ steps: info.steps, guidance: info.guidance });
});

test("a link brings the whole state back", () => {
  const state = changed(DEFAULT_STATE, {
    prompt: "a panda \u{1F43C} at the beach",
    seed: 4294967295,
    noiseCells: [[3, -1.5]],
    broken: { ...DEFAULT_STATE.broken, skips: true },
    compare: { prompt: "a cat" },
    view: { step: 3, word: 1, channel: 2, stop: -1 },
  });
  expect(fromLink(toLink(state))).toEqual(state);
  expect(toLink(state)).toMatch(/^[\w-]+$/);
});

test("the state of the start needs no link", () => {
  expect(toLink(DEFAULT_STATE)).toBe("");
  expect(fromLink("")).toEqual(DEFAULT_STATE);
});

test.each(["%%%", "AAAA", btoa('{"seed":-1}'), btoa('{"words":[1]}'), btoa("[]x")])(
  "a damaged link (%s) is said in a sentence",
  (link) => {
    expect(() => fromLink(link)).toThrow(SaidError);
  },
);

test.each([
  [{ seed: NaN }, "seed must be a whole number from 0 to 4294967295."],
  [{ steps: 2.5 }, "steps must be a whole number from 1 to 50."],
  [{ steps: 1000 }, "steps must be a whole number from 1 to 50."],
  [{ guidance: Infinity }, "guidance must be a number from -10 to 20."],
])("%o is refused", (patch, sentence) => {
  expect(() => changed(DEFAULT_STATE, patch)).toThrow(sentence);
});

test("a prompt of a thousand words is refused in a sentence", () => {
  expect(() => changed(DEFAULT_STATE, { prompt: "word ".repeat(1000) })).toThrow("longer");
});

test("the second drawing differs only in what was asked", () => {
  expect(otherOrderOf(DEFAULT_STATE)).toBeNull();
  const state = changed(DEFAULT_STATE, { compare: { seed: 7 } });
  const other = otherOrderOf(state)!;
  expect(other.seed).toBe(7);
  expect(other.prompt).toBe(state.prompt);
});
