/** From 8x8x4 numbers to 64x64 pixels. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, div, exhibit, field, live, row, slider } from "./dom";
import { board } from "./grid";
import { changeOf, countChanged, latentsInColor, paint } from "./pixels";

function mount(element: HTMLElement, app: App) {
  const { latentSize: side, channels } = app.info;
  const cell = signal(side * 4 + 4);
  const strength = signal(2);
  const count = signal(0);
  const cells = board(
    "One place of the latents",
    side,
    () => undefined,
    (next) => (cell.value = next),
  );
  const pushed = canvas("The picture with this place pushed");
  const changed = canvas("The pixels that changed: light is much");
  let turn = 0;

  async function show(latents: Float32Array) {
    const mine = ++turn;
    const moved = latents.slice();
    for (let c = 0; c < channels; c++) {
      moved[c * side * side + cell.peek()]! += strength.peek();
    }
    const before = await app.picture(latents);
    const after = await app.picture(moved);
    if (mine !== turn) return;
    paint(pushed, after);
    paint(changed, changeOf(before, after));
    count.value = countChanged(before, after);
  }

  let wait = 0;
  effect(() => {
    const latents = app.drawing.value?.latents;
    void [cell.value, strength.value];
    if (!latents) return;
    cells.show(latentsInColor(latents, app.info));
    window.clearTimeout(wait);
    wait = window.setTimeout(() => void show(latents), 40);
  });
  const push = slider([-3, 3, 0.5, 2], (value) => (strength.value = value));
  exhibit(
    element,
    [
      "A second network, the decoder, turns every place of the latents into 8 by 8 " +
        "pixels. It has learned what edges, eyes and waves look like, so 256 numbers " +
        "are enough.",
      "Point at a place of the latents: all four numbers there are pushed. Which pixels " +
        "does it change, and do they stay within its own square?",
    ],
    row(
      [cells.element, "Latents in color: point here"],
      [pushed, "Decoded"],
      [changed, live(() => `${count.value} of 4096 pixels changed`)],
    ),
    div(
      "tools",
      field(
        live(() => `Push by ${strength.value}`),
        push,
      ),
    ),
  );
}

export const panel: Panel = { id: "decoder", title: "Numbers become a picture", mount };
