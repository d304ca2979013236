/** The four channels that the network really draws, to look at and paint on. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, canvas, field, figure, h, slider, why } from "./dom";
import { board } from "./grid";
import { paint, rangeOf, signedMap } from "./pixels";
import { plainPicture } from "./plain";

const STRONGEST = 2.5;
const COMMIT = 700; // milliseconds after the last stroke

function channelButton(app: App, c: number) {
  const side = app.info.latentSize;
  const view = canvas("", side);
  const range = h("span", { class: "small" });
  const choose = () => app.look({ channel: c });
  const props = { type: "button", class: "lamp", click: choose };
  const element = h("button", props, view, `channel ${c + 1}`, range);
  const show = (latents: Float32Array) => {
    const values = latents.slice(c * side * side, (c + 1) * side * side);
    const { least, most } = rangeOf(values);
    paint(view, signedMap(values, side, STRONGEST));
    range.textContent = `${least.toFixed(1)} to ${most.toFixed(1)}`;
    element.ariaPressed = String(app.state.peek().view.channel === c);
  };
  return { element, show };
}

function mount(element: HTMLElement, app: App) {
  const { latentSize: side, channels } = app.info;
  const size = side * side;
  const latents = signal<Float32Array | null>(null);
  const cells = board("One channel to paint on", side, () => undefined, stroke);
  const decoded = canvas("The picture decoded from the painted latents");
  const before = canvas("The picture from the latents as they were");
  const plain = plainPicture(app);
  const value = slider(-3, 3, 0.25, { value: 2 });
  const strength = h("output", {});
  const list = Array.from({ length: channels }, (_, c) => channelButton(app, c));
  const strokes = new Map<number, number>();
  let timer = 0;

  function stroke(cell: number) {
    const index = app.state.peek().view.channel * size + cell;
    strokes.set(index, Number(value.value));
    const now = latents.peek()?.slice();
    if (!now) return;
    now[index] = Number(value.value);
    latents.value = now;
    window.clearTimeout(timer);
    timer = window.setTimeout(commit, COMMIT);
  }

  function commit() {
    const cells = new Map([...app.state.peek().latentCells, ...strokes]);
    strokes.clear();
    app.change({ latentCells: [...cells] });
  }

  effect(() => paint(before, plain.value));
  effect(() => {
    const done = app.drawing.value?.latents;
    if (done) latents.value = done.slice();
  });
  effect(() => {
    const now = latents.value;
    const { channel } = app.state.value.view;
    if (!now) return;
    for (const one of list) one.show(now);
    const values = now.slice(channel * size, (channel + 1) * size);
    cells.show(signedMap(values, side, STRONGEST));
    void app.picture(now).then((picture) => {
      if (latents.peek() === now) paint(decoded, picture);
    });
  });
  const tell = () => {
    strength.textContent = value.value;
  };
  value.addEventListener("input", tell);
  tell();
  const text = why(
    "The network never sees pixels. It works on 8 by 8 places with four numbers each, " +
      "48 times fewer than the picture has. They are called latents.",
    "Choose a channel and paint on it. Blue is below zero, orange above. One of the four " +
      "says next to nothing: which?",
  );
  const painting = field(h("span", {}, "Paint with the number ", strength), value);
  const undo = button("Undo all", () => {
    strokes.clear();
    app.change({ latentCells: [] });
  });
  const pictures = h(
    "div",
    { class: "row" },
    figure(cells.element, "The chosen channel: paint here"),
    figure(decoded, "Decoded again"),
    figure(before, "As it was"),
  );
  const tools = h("div", { class: "tools" }, painting, undo);
  const lamps = h("div", { class: "lamps four" }, ...list.map((one) => one.element));
  element.append(text, h("div", { class: "exhibit" }, lamps, pictures, tools));
}

export const panel: Panel = { id: "latents", title: "What it really draws", mount };
