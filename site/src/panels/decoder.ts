/** From 8x8x4 numbers to 64x64 pixels. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, div, field, live, row, slider } from "./dom";
import { board } from "./grid";
import { changeOf, latentsInColor, paintDecoded } from "./pixels";

function mount(element: HTMLElement, app: App) {
  const { latentSize: side } = app.info;
  const size = side * side;
  const cell = signal(side * 4 + 4);
  const strength = signal(2);
  const count = signal(0);
  const point = (next: number) => (cell.value = next);
  const cells = board("One place of the latents", side, () => undefined, point);
  const pushed = canvas("The picture with this place pushed");
  const changed = canvas("The pixels that changed: light is much");

  effect(() => {
    const latents = app.drawing.value?.latents;
    const [place, push] = [cell.value, strength.value];
    if (!latents) return;
    const moved = latents.map((value, i) => value + (i % size === place ? push : 0));
    cells.show(latentsInColor(latents, app.info));
    paintDecoded(app, pushed, moved);
    void app.picture(latents).then((before) =>
      paintDecoded(app, changed, moved, (after) => {
        const [map, changes] = changeOf(before, after);
        count.value = changes;
        return map;
      }),
    );
  });
  const push = slider([-3, 3, 0.5, 2], (value) => (strength.value = value));
  const label = live(() => `Push by ${strength.value}`);
  element.append(
    row(
      [cells.element, "Latents in color: point here"],
      [pushed, "Decoded"],
      [changed, live(() => `${count.value} of 4096 pixels changed`)],
    ),
    div("tools", field(label, push)),
  );
}

export const panel: Panel = { id: "decoder", mount };
