/** The machine in one line: where each panel's part sits between prompt and picture. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, h, live, visit } from "./dom";
import { mapOf } from "./attention";
import { differenceMap } from "./guidance";
import { latentsInColor, paint, signedMap, spotlight } from "./pixels";
import { namesOf } from "./tokens";

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
  const views: Record<string, HTMLCanvasElement> = {};
  const ids = () => {
    const tokens = app.drawing.value?.tokens;
    return tokens ? tokens.ids.slice(1, namesOf(tokens).length - 1).join(" ") : "";
  };
  const numbers = live(ids, { class: "numbers", "aria-hidden": "true" });
  const links = STOPS.map(([id, name, width, height]) => {
    const view = width ? (views[id] = canvas("", width, height)) : numbers;
    const link = h("a", { href: `#${id}` }, view, h("span", {}, name));
    link.addEventListener("click", (event) => {
      event.preventDefault(); // what follows # is the page's state
      visit(id)?.querySelector("summary")?.focus({ preventScroll: true });
    });
    return h("li", {}, link);
  });

  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    const { embedSize } = app.info;
    const rows = drawing.embeds.slice(0, namesOf(drawing.tokens).length * embedSize);
    paint(views["embeddings"]!, signedMap(rows, embedSize, 2.5));
    paint(views["noise"]!, latentsInColor(drawing.noise, app.info));
    if (!drawing.picture || !drawing.latents) return;
    paint(views["latents"]!, latentsInColor(drawing.latents, app.info));
    paint(views["decoder"]!, drawing.picture);
    const word = drawing.tokens.words.find(({ text }) => text.length > 2);
    if (word) {
      const map = mapOf(drawing.steps, word.positions, side * side);
      paint(views["attention"]!, spotlight(drawing.picture, map));
    }
    const { noisePredUncond, noisePredText } = drawing.steps[0]!;
    if (!noisePredUncond) return;
    paint(views["guidance"]!, differenceMap(noisePredUncond, noisePredText, side));
  });
  element.append(h("ol", { class: "machine" }, ...links));
}

export const panel: Panel = { id: "map", always: true, mount };
