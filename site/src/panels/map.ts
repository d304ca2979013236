/** The machine in one line: where each panel's part sits between prompt and picture. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, h } from "./dom";
import { mapOf } from "./attention";
import { differenceMap } from "./guidance";
import { latentsInColor, paint, signedMap, spotlight } from "./pixels";

/** Panel, name, and width and height of its miniature. */
const STOPS: [string, string, number, number][] = [
  ["tokens", "words", 0, 0],
  ["embeddings", "meaning", 96, 9],
  ["noise", "noise", 8, 8],
  ["attention", "attention", 64, 64],
  ["guidance", "guidance", 8, 8],
  ["latents", "latents", 8, 8],
  ["decoder", "picture", 64, 64],
];

function mount(element: HTMLElement, app: App) {
  const side = app.info.latentSize;
  const views = new Map<string, HTMLCanvasElement>();
  const numbers = h("span", { class: "numbers", "aria-hidden": "true" });
  const links = STOPS.map(([id, name, width, height]) => {
    const view = canvas("", width || 8, height || 8);
    views.set(id, view);
    const face = width ? view : numbers;
    return h(
      "li",
      {},
      h("a", { href: `#${id}`, class: id }, face, h("span", {}, name)),
    );
  });

  function miniature(id: string, pixels: ImageData | null) {
    paint(views.get(id)!, pixels);
  }

  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    const { ids, words } = drawing.tokens;
    const count = Math.min(9, words.length + 2);
    numbers.textContent = ids.slice(1, count - 1).join(" ");
    const rows = drawing.embeds.slice(0, count * app.info.embedSize);
    miniature("embeddings", signedMap(rows, app.info.embedSize, 2.5));
    miniature("noise", latentsInColor(drawing.noise, app.info));
    if (!drawing.picture || !drawing.latents) return;
    miniature("latents", latentsInColor(drawing.latents, app.info));
    miniature("decoder", drawing.picture);
    const word = words.find(({ text }) => text.length > 3);
    if (word) {
      const map = mapOf(drawing.steps, word.positions, side ** 2);
      miniature("attention", spotlight(drawing.picture, map));
    }
    const { noisePredUncond, noisePredText } = drawing.steps[0]!;
    if (noisePredUncond) {
      miniature("guidance", differenceMap(noisePredUncond, noisePredText, side));
    }
  });
  element.append(h("ol", { class: "machine" }, ...links));
}

export const panel: Panel = { id: "map", title: "The machine, opened", mount };
