/** The four channels that the network really draws, to look at and paint on. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, canvas, div, exhibit, field, h, live, row, slider } from "./dom";
import { board } from "./grid";
import { paint, rangeOf, signedMap } from "./pixels";
import { plainPicture } from "./plain";

const STRONGEST = 2.5; // the number that gets the full color
const PAUSE = 700; // milliseconds after the last stroke until it is kept

function mount(element: HTMLElement, app: App) {
  const { latentSize: side, channels } = app.info;
  const size = side * side;
  const latents = signal<Float32Array | null>(null);
  const strength = signal(-3);
  const cells = board("One channel to paint on", side, stroke);
  const decoded = canvas("The picture decoded from the painted latents");
  const before = canvas("The picture from the latents as they were");
  const plain = plainPicture(app);
  const strokes = new Map<number, number>();
  let timer = 0;

  const channelOf = (c: number) =>
    latents.value?.slice(c * size, (c + 1) * size) ?? new Float32Array(size);

  function lamp(c: number) {
    const view = canvas("", side);
    const extent = live(
      () => {
        const { least, most } = rangeOf(channelOf(c));
        return `${least.toFixed(1)} to ${most.toFixed(1)}`;
      },
      { class: "small" },
    );
    const one = button(`channel ${c + 1}`, () => app.look({ channel: c }), {
      class: "lamp",
    });
    one.prepend(view);
    one.append(extent);
    effect(() => {
      paint(view, signedMap(channelOf(c), side, STRONGEST));
      one.ariaPressed = String(app.state.value.view.channel === c);
    });
    return one;
  }

  function stroke(cell: number) {
    const now = latents.peek()?.slice();
    if (!now) return;
    const index = app.state.peek().view.channel * size + cell;
    strokes.set(index, strength.peek());
    now[index] = strength.peek();
    latents.value = now;
    window.clearTimeout(timer);
    timer = window.setTimeout(keep, PAUSE);
  }
  function keep() {
    const kept = new Map([...app.state.peek().latentCells, ...strokes]);
    strokes.clear();
    app.change({ latentCells: [...kept] });
  }
  function undo() {
    strokes.clear();
    app.change({ latentCells: [] });
  }

  effect(() => {
    const done = app.drawing.value?.latents;
    if (done) latents.value = done.slice();
  });
  effect(() => {
    const now = latents.value;
    if (!now) return;
    cells.show(signedMap(channelOf(app.state.value.view.channel), side, STRONGEST));
    void app.picture(now).then((picture) => {
      if (latents.peek() === now) paint(decoded, picture);
    });
  });
  effect(() => paint(before, plain.value));
  const brush = slider([-3, 3, 0.5, -3], (value) => (strength.value = value));
  const number = live(() => `Paint with the number ${strength.value}`);
  exhibit(
    element,
    [
      "The network never sees pixels. It works on 8 by 8 places with four numbers each, " +
        "48 times fewer than the picture has. They are called latents.",
      "Choose a channel and paint on it. Blue is below zero, orange above. One of the " +
        "four says next to nothing: which?",
    ],
    h(
      "div",
      { class: "lamps four" },
      ...Array.from({ length: channels }, (_, c) => lamp(c)),
    ),
    row(
      [cells.element, "The chosen channel: paint here"],
      [decoded, "Decoded again"],
      [before, "As it was"],
    ),
    div("tools", field(number, brush), button("Undo all", undo)),
  );
}

export const panel: Panel = { id: "latents", title: "What it really draws", mount };
