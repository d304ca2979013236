/** The noise that a drawing begins with: look at it, paint on it, exchange parts. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Patch } from "../engine/types";
import { button, canvas, field, figure, h, why } from "./dom";
import { board } from "./grid";
import { latentsInColor, paint } from "./pixels";
import { plainPicture } from "./plain";

const BRUSHES: Record<string, number[]> = {
  "no noise": [0, 0, 0, 0],
  "dark: -2, 2, 0, -1": [-2, 2, 0, -1],
  "light: 2, -2, 0, 1": [2, -2, 0, 1],
};

/** Halves of the 8x8 cells to take from another seed. */
const HALVES: Record<string, Omit<Patch, "seed">> = {
  "left half": { top: 0, left: 0, height: 8, width: 4 },
  "right half": { top: 0, left: 4, height: 8, width: 4 },
  "upper half": { top: 0, left: 0, height: 4, width: 8 },
  "lower half": { top: 4, left: 0, height: 4, width: 8 },
};

/** The values of one cell in every channel, with others of that cell replaced. */
function painted(
  cells: [number, number][],
  cell: number,
  values: number[],
  size: number,
) {
  const kept = cells.filter(([index]) => index % size !== cell);
  const fresh = values.map((value, c): [number, number] => [c * size + cell, value]);
  return [...kept, ...fresh];
}

function swaps(app: App) {
  const buttons = Object.entries(HALVES).map(([name, place]) =>
    button(name, () => {
      const { seed, noisePatches } = app.state.peek();
      const patch = { ...place, seed: (seed + 1 + noisePatches.length) % 2 ** 32 };
      app.change({ noisePatches: [...noisePatches, patch] });
    }),
  );
  const text = h("span", { class: "label" }, "Take from another seed");
  return h("div", { class: "field" }, text, h("div", { class: "buttons" }, ...buttons));
}

function mount(element: HTMLElement, app: App) {
  const size = app.info.latentSize ** 2;
  const brush = h(
    "select",
    {},
    ...Object.keys(BRUSHES).map((name) => h("option", {}, name)),
  );
  const cells = board(
    "Noise to paint on",
    app.info.latentSize,
    () => undefined,
    paintCell,
  );
  const result = canvas("The picture that this noise becomes");
  const before = canvas("The picture from the noise as it was");
  const numbers = h("p", { class: "small" });

  function paintCell(cell: number) {
    const values = BRUSHES[brush.value]!;
    app.change({
      noiseCells: painted(app.state.peek().noiseCells, cell, values, size),
    });
    const noise = app.drawing.peek()?.noise.slice();
    if (!noise) return;
    for (const [index, value] of app.state.peek().noiseCells) noise[index] = value;
    cells.show(latentsInColor(noise, app.info));
  }

  const plain = plainPicture(app);
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    cells.show(latentsInColor(drawing.noise, app.info));
    paint(result, drawing.picture);
    paint(before, plain.value);
    const first = Array.from(drawing.noise.slice(0, 4), (value) => value.toFixed(2));
    const count = drawing.noise.length;
    numbers.textContent = `${count} random numbers, the first: ${first.join(", ")}.`;
  });
  const clear = button("Undo all", () =>
    app.change({ noiseCells: [], noisePatches: [] }),
  );
  const other = button("Other noise", () =>
    app.change({ seed: (app.state.peek().seed + 1) % 2 ** 32 }),
  );
  const text = why(
    "A picture begins as random numbers: this is all that the seed decides. The same " +
      "noise and the same words give the same picture, to the last pixel.",
    "Paint over some cells, or take half of the noise from another seed. The thing " +
      "moves, turns, or changes what the words leave open.",
  );
  const tools = h(
    "div",
    { class: "tools" },
    field("Brush", brush),
    swaps(app),
    h("div", { class: "buttons" }, clear, other),
    numbers,
  );
  const pictures = h(
    "div",
    { class: "row" },
    figure(cells.element, "The noise, in color: paint here"),
    figure(before, "From the seed's own noise"),
    figure(result, "From this noise"),
  );
  element.append(text, h("div", { class: "exhibit" }, pictures, tools));
}

export const panel: Panel = { id: "noise", title: "Everything begins as noise", mount };
