/** The four channels that the network really draws, to look at and paint on. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, canvas, div, field, live, row, slider } from "./dom";
import { board } from "./grid";
import { paint, paintDecoded, rangeOf, signedMap } from "./pixels";
import { beforeAndAfter } from "./plain";

const STRONGEST = 2.5; // the number that gets the full color
const PAUSE = 700; // milliseconds after the last stroke until it is kept

function mount(element: HTMLElement, app: App) {
  const { latentSize: side, channels } = app.info;
  const size = side * side;
  const latents = signal(new Float32Array(channels * size));
  const strength = signal(-3);
  const cells = board("One channel to paint on", side, stroke);
  const decoded = canvas("The picture decoded from the painted latents");
  const [before] = beforeAndAfter(app, "The picture from the latents as they were", "");
  const strokes = new Map<number, number>();
  let timer = 0;

  const channelOf = (c: number) => latents.value.slice(c * size, (c + 1) * size);

  function lamp(c: number) {
    const view = canvas("", side);
    const extent = () => {
      const { least, most } = rangeOf(channelOf(c));
      return `${least.toFixed(1)} to ${most.toFixed(1)}`;
    };
    const choose = () => app.look({ channel: c });
    const one = button(`channel ${c + 1}`, choose, { class: "lamp" });
    one.prepend(view);
    one.append(live(extent, { class: "small" }));
    effect(() => {
      paint(view, signedMap(channelOf(c), side, STRONGEST));
      one.ariaPressed = String(app.state.value.view.channel === c);
    });
    return one;
  }

  function stroke(cell: number) {
    const index = app.state.peek().view.channel * size + cell;
    strokes.set(index, strength.peek());
    latents.value = latents.peek().with(index, strength.peek());
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
    cells.show(signedMap(channelOf(app.state.value.view.channel), side, STRONGEST));
    if (app.drawing.value?.latents) paintDecoded(app, decoded, now);
  });
  const brush = slider([-3, 3, 0.5, -3], (value) => (strength.value = value));
  const number = live(() => `Paint with the number ${strength.value}`);
  const lamps = Array.from({ length: channels }, (_, c) => lamp(c));
  element.append(
    div("lamps four", ...lamps),
    row(
      [cells.element, "The chosen channel: paint here"],
      [decoded, "Decoded again"],
      [before, "As it was"],
    ),
    div("tools", field(number, brush), button("Undo all", undo)),
  );
}

export const panel: Panel = { id: "latents", mount };
