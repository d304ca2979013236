/** What the panels calculate: words put into prompts, maps, guesses. */

import { describe, expect, it } from "vitest";
import { guide } from "../src/engine/loop";
import { predOriginalSample } from "../src/engine/schedulers";
import type { Step } from "../src/engine/types";
import { mapOf } from "../src/panels/attention";
import { distances } from "../src/panels/embeddings";
import { between, regionOf, signed } from "../src/panels/pixels";
import { editsOf, NO_EDITS } from "../src/panels/plain";
import { namesOf } from "../src/panels/tokens";
import { GROUPS, putWord } from "../src/panels/words";
import { changed, DEFAULT_STATE } from "../src/state";
import { FRESH, STOPS } from "../src/tour/stops";

describe("a click on a word", () => {
  const cases: [string, string, keyof typeof GROUPS, string][] = [
    ["a red cat at the beach", "blue", "colors", "a blue cat at the beach"],
    ["a red cat at the beach", "orange", "colors", "an orange cat at the beach"],
    ["an orange cat", "orange", "colors", "a cat"],
    ["a cat", "green", "colors", "a green cat"],
    ["a cat", "at night", "places", "a cat at night"],
    ["a cat at night", "in the snow", "places", "a cat in the snow"],
    ["a cat at night", "at night", "places", "a cat"],
    ["a red cat and a horse", "elephant", "things", "a red elephant and a horse"],
    ["", "umbrella", "things", "an umbrella"],
    ["a cat at night", "riding", "together", "a cat riding a horse at night"],
    ["a cat riding a horse", "next to", "together", "a cat next to a horse"],
  ];
  it.each(cases)("%s + %s", (prompt, words, group, wanted) => {
    expect(putWord(prompt, words, group)).toBe(wanted);
  });
});

describe("numbers to pixels", () => {
  it("takes noise away and scales back", () => {
    const [clean, noise, a] = [new Float32Array([2]), new Float32Array([-1]), 0.64];
    const noisy = clean.map((x, i) => Math.sqrt(a) * x + Math.sqrt(1 - a) * noise[i]!);
    expect(predOriginalSample(noisy, noise, a)[0]).toBeCloseTo(2, 5);
  });
  it("amplifies the difference", () => {
    const mixed = guide(new Float32Array([1]), new Float32Array([3]), 5);
    expect(mixed[0]).toBe(11);
  });
  it("names where the most is", () => {
    const map = new Float32Array(64);
    map[7] = 1;
    expect(regionOf(map)).toBe("the upper part on the right");
    map[36] = 2;
    expect(regionOf(map)).toBe("the middle");
  });
  it("is a cell's own value in its middle", () => {
    const map = [0, 1, 2, 3];
    expect(between(map, 2, 1, 1)).toBe(3);
    expect(between(map, 2, 0.5, 0.5)).toBe(1.5);
  });
  it("has a color for below, zero and above", () => {
    const [below, zero, above] = [signed(-2, 2), signed(0, 2), signed(2, 2)];
    expect(below[2]).toBeGreaterThan(below[0]);
    expect(above[0]).toBeGreaterThan(above[2]);
    expect(Math.min(...zero)).toBeGreaterThan(230);
  });
});

describe("what was changed by hand", () => {
  it("is named, and nothing where there is nothing", () => {
    const broken = { ...DEFAULT_STATE.broken, sign: true };
    expect(editsOf(DEFAULT_STATE)).toEqual([]);
    expect(editsOf({ ...DEFAULT_STATE, broken, latentCells: [[0, 1]] })).toEqual([
      "painted latents",
      "a part taken out",
    ]);
    expect(editsOf({ ...DEFAULT_STATE, ...NO_EDITS })).toEqual([]);
  });
});

describe("what the panels show", () => {
  const step = (attention: number[]) =>
    ({ attention: new Float32Array(attention) }) as unknown as Step;

  it("takes the mean over a word's tokens and over steps", () => {
    const steps = [step([0, 0, 2, 4, 4, 8]), step([0, 0, 0, 0, 2, 0])];
    expect([...mapOf(steps, [1, 2], 2)]).toEqual([2, 3]);
  });
  it("says how far each token moves", () => {
    const there = new Float32Array([3, 4, 0, 0]);
    expect(distances(new Float32Array(4), there, 2)).toEqual([5, 0]);
  });
  it("names the tokens in use, with start and end", () => {
    const tokens = {
      ids: [9, 1, 2, 8, 8],
      texts: ["<s>", "uni", "corn</w>", "<e>", "<e>"],
      words: [{ text: "unicorn", positions: [1, 2] }],
      unknown: ["unicorn"],
      cut: [],
    };
    expect(namesOf(tokens)).toEqual(["start", "uni", "corn", "end"]);
    expect(namesOf({ ...tokens, words: [] })).toEqual(["start", "end"]);
  });
});

describe("the tour", () => {
  it("has ten stops, each a question with one right choice", () => {
    expect(STOPS).toHaveLength(10);
    for (const stop of STOPS) expect(stop.choices[stop.right]).toBeTruthy();
  });
  it("sets states that can be drawn", () => {
    for (const stop of STOPS) {
      const state = changed(DEFAULT_STATE, { ...FRESH, ...stop.show });
      expect(state.prompt).not.toBe("");
    }
  });
  it("does not have the right choice always at the same place", () => {
    expect(new Set(STOPS.map((stop) => stop.right)).size).toBe(3);
  });
});
