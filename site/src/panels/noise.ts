/** The noise that a drawing begins with: look at it, paint on it, exchange parts. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Patch } from "../engine/types";
import { button, choice, div, field, h, live, row } from "./dom";
import { board } from "./grid";
import { latentsInColor } from "./pixels";
import { beforeAndAfter } from "./plain";

/** The four numbers that a brush puts into a cell. */
const BRUSHES = { "0 0 0 0": "no noise", "0 0 2 2": "light", "0 0 -2 -2": "dark" };

/** Halves of the 8x8 cells to take from another seed. */
const HALVES: Record<string, Omit<Patch, "seed">> = {
  "left half": { top: 0, left: 0, height: 8, width: 4 },
  "right half": { top: 0, left: 4, height: 8, width: 4 },
  "upper half": { top: 0, left: 0, height: 4, width: 8 },
  "lower half": { top: 4, left: 0, height: 4, width: 8 },
};

function swaps(app: App) {
  const buttons = Object.entries(HALVES).map(([name, place]) =>
    button(name, () => {
      const { seed, noisePatches } = app.state.peek();
      const patch = { ...place, seed: (seed + 1 + noisePatches.length) % 2 ** 32 };
      app.change({ noisePatches: [...noisePatches, patch] });
    }),
  );
  const label = h("span", { class: "label" }, "Take from another seed");
  return div("field", label, div("buttons", ...buttons));
}

function mount(element: HTMLElement, app: App) {
  const size = app.info.latentSize ** 2;
  const brush = choice(BRUSHES);
  const cells = board("Noise to paint on", app.info.latentSize, stroke);
  const [before, after] = beforeAndAfter(
    app,
    "The picture from the noise as it was",
    "The picture that this noise becomes",
  );

  function stroke(cell: number) {
    const kept = app.state.peek().noiseCells.filter(([index]) => index % size !== cell);
    const values = brush.value.split(" ").map(Number);
    const fresh = values.map((value, c): [number, number] => [c * size + cell, value]);
    app.change({ noiseCells: [...kept, ...fresh] });
    const noise = app.drawing.peek()?.noise.slice();
    if (!noise) return;
    for (const [index, value] of app.state.peek().noiseCells) noise[index] = value;
    cells.show(latentsInColor(noise, app.info));
  }

  effect(() => {
    const noise = app.drawing.value?.noise;
    if (noise) cells.show(latentsInColor(noise, app.info));
  });
  const numbers = () => {
    const noise = Array.from(app.drawing.value?.noise ?? []);
    const first = noise.slice(0, 4).map((value) => value.toFixed(2));
    return `${noise.length} random numbers, the first: ${first.join(", ")} ...`;
  };
  const undo = button("Undo all", () => app.change({ noiseCells: [], noisePatches: [] }));
  const other = button("Other noise", () =>
    app.change({ seed: (app.state.peek().seed + 1) % 2 ** 32 }),
  );
  element.append(
    row(
      [cells.element, "The noise, in color: paint here"],
      [before, "From the seed's own noise"],
      [after, "From this noise"],
    ),
    div("tools", field("Brush", brush), swaps(app), div("buttons", undo, other)),
    live(numbers, { class: "small" }),
  );
}

export const panel: Panel = { id: "noise", mount };
