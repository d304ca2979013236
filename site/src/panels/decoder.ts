/** From 8x8x4 numbers to 64x64 pixels. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, field, figure, h, slider, why } from "./dom";
import { board } from "./grid";
import { changeOf, latentsInColor, paint } from "./pixels";

/** How many pixels changed visibly. */
function countChanged(before: ImageData, after: ImageData): number {
  let count = 0;
  for (let i = 0; i < before.data.length; i += 4) {
    const sum = [0, 1, 2].map((c) =>
      Math.abs(before.data[i + c]! - after.data[i + c]!),
    );
    if (Math.max(...sum) >= 8) count++;
  }
  return count;
}

function mount(element: HTMLElement, app: App) {
  const { latentSize: side, channels } = app.info;
  const cell = signal(side * 4 + 4);
  const push = slider(-3, 3, 0.5, { value: 2 });
  const strength = signal(2);
  const cells = board("One place of the latents", side, point, () => undefined);
  const pushed = canvas("The picture with this place pushed");
  const changed = canvas("The pixels that changed: light is much");
  const caption = h("span", {});
  let turn = 0;

  function point(next: number) {
    cell.value = next;
  }
  push.addEventListener("input", () => {
    strength.value = Number(push.value);
  });

  async function show(latents: Float32Array) {
    const mine = ++turn;
    const moved = latents.slice();
    for (let c = 0; c < channels; c++) {
      moved[c * side * side + cell.peek()]! += strength.peek();
    }
    const [before, after] = await Promise.all([
      app.picture(latents),
      app.picture(moved),
    ]);
    if (mine !== turn) return;
    paint(pushed, after);
    paint(changed, changeOf(before, after));
    caption.textContent = `${countChanged(before, after)} of 4,096 pixels changed`;
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
  const text = why(
    "A second network, the decoder, turns every place of the latents into 8 by 8 pixels. " +
      "It has learned what edges, eyes and waves look like, so 256 numbers are enough.",
    "Point at a place of the latents: all four numbers there are pushed. Which pixels " +
      "does it change, and do they stay within its own square?",
  );
  const pictures = h(
    "div",
    { class: "row" },
    figure(cells.element, "Latents in color: point here"),
    figure(pushed, "Decoded"),
    figure(changed, caption),
  );
  const tools = h("div", { class: "tools" }, field("Push by", push));
  element.append(text, h("div", { class: "exhibit" }, pictures, tools));
}

export const panel: Panel = { id: "decoder", title: "Numbers become a picture", mount };
