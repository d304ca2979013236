/** Each token as a row of numbers that the text tower made. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, field, h, textInput } from "./dom";
import { paint, signedMap } from "./pixels";
import { namesOf } from "./tokens";
import { putWord } from "./words";

const STRONGEST = 2.5; // the number that gets the full color

/** Stripes between a token's name and how far it moved. */
function tableRow(name: string, values: Float32Array, moved: number, most: number) {
  const strip = canvas(`${name}: ${values.length} numbers`, values.length, 1);
  paint(strip, signedMap(values, values.length, STRONGEST));
  const share = most ? (100 * moved) / most : 0;
  const bar = h("span", { class: "bar", style: `--share:${share}%` });
  const cells = [h("td", {}, strip), h("td", {}, bar, moved.toFixed(1))];
  return h("tr", {}, h("th", { scope: "row" }, name), ...cells);
}

/** How far each token moves from one prompt to another. */
export function distances(here: Float32Array, there: Float32Array, size: number) {
  return Array.from({ length: here.length / size }, (_, i) => {
    const [from, to] = [i * size, (i + 1) * size];
    const other = there.subarray(from, to);
    return Math.hypot(...here.slice(from, to).map((value, k) => value - other[k]!));
  });
}

function mount(element: HTMLElement, app: App) {
  const body = h("tbody", {});
  const input = textInput("", () => void show());
  let turn = 0;

  async function show() {
    const drawing = app.drawing.peek();
    if (!drawing) return;
    const mine = ++turn;
    const there = await app.engine.embed(input.value.slice(0, 500));
    if (mine !== turn) return;
    const size = app.info.embedSize;
    const names = namesOf(drawing.tokens);
    const moved = distances(drawing.embeds, there, size).slice(0, names.length);
    const rows = names.map((name, i) => {
      const values = drawing.embeds.slice(i * size, (i + 1) * size);
      return tableRow(name, values, moved[i]!, Math.max(...moved));
    });
    body.replaceChildren(...rows);
  }

  let prompt: string | null = null;
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    if (drawing.order.prompt === prompt) return;
    prompt = drawing.order.prompt;
    input.value = putWord(prompt, "blue", "colors"); // one word is another
    void show();
  });
  const columns = ["token", "its 96 numbers: blue below zero, orange above", "moved"];
  const heads = columns.map((text) => h("th", { scope: "col" }, text));
  const head = h("thead", {}, h("tr", {}, ...heads));
  element.append(
    field("Compared with this prompt", input),
    h("table", { class: "stripes" }, head, body),
  );
}

export const panel: Panel = { id: "embeddings", mount };
