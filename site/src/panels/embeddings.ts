/** Each token as a row of numbers that the text tower made. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, field, h, why } from "./dom";
import { paint, signedMap } from "./pixels";

const STRONGEST = 2.5; // the number that gets the full color

interface Row {
  name: string;
  values: Float32Array;
  moved: number; // how far from the same place of the other prompt
}

/** A row of stripes between its name and a bar. */
function stripes(row: Row, most: number) {
  const strip = canvas(
    `${row.name}: ${row.values.length} numbers`,
    row.values.length,
    1,
  );
  paint(strip, signedMap(row.values, row.values.length, STRONGEST));
  const share = most ? (100 * row.moved) / most : 0;
  const bar = h("span", { class: "bar", style: `--share:${share}%` });
  const moved = h("td", {}, bar, h("span", {}, row.moved.toFixed(1)));
  return h("tr", {}, h("th", { scope: "row" }, row.name), h("td", {}, strip), moved);
}

function rowsOf(
  names: string[],
  here: Float32Array,
  there: Float32Array,
  size: number,
) {
  return names.map((name, i) => {
    const values = here.slice(i * size, (i + 1) * size);
    const other = there.subarray(i * size, (i + 1) * size);
    const moved = Math.hypot(...values.map((value, k) => value - other[k]!));
    return { name, values, moved };
  });
}

/** The prompt with one word exchanged, to begin with. */
function neighbour(prompt: string) {
  if (/\bred\b/.test(prompt)) return prompt.replace("red", "blue");
  return prompt.replace(/\bhorse\b|\bcat\b|\bbeach\b/, (word) =>
    word === "horse" ? "fish" : word === "cat" ? "panda" : "river",
  );
}

function mount(element: HTMLElement, app: App) {
  const body = h("tbody", {});
  const input = h("input", { autocomplete: "off", spellcheck: "false" });
  let own = false; // has somebody typed?
  let turn = 0;

  async function show() {
    const drawing = app.drawing.peek();
    if (!drawing) return;
    const mine = ++turn;
    const there = await app.engine.embed(input.value.slice(0, 500));
    if (mine !== turn) return;
    const { words, texts } = drawing.tokens;
    const count = Math.max(0, ...words.flatMap((word) => word.positions)) + 2;
    const names = texts.slice(0, count).map((text) => text.replace("</w>", ""));
    names[0] = "start";
    names[count - 1] = "end";
    const rows = rowsOf(names, drawing.embeds, there, app.info.embedSize);
    const most = Math.max(...rows.map((row) => row.moved));
    body.replaceChildren(...rows.map((row) => stripes(row, most)));
  }

  effect(() => {
    const embeds = app.drawing.value?.embeds;
    if (!embeds) return;
    if (!own) input.value = neighbour(app.drawing.value!.order.prompt);
    void show();
  });
  input.addEventListener("input", () => {
    own = true;
    void show();
  });
  const text = why(
    "A place in a list says nothing of what a word means. The text tower turns each " +
      "token into 96 numbers that do, and that also know the words before it.",
    "Change one word below. Tokens before it stay as they were, and those after it move: " +
      "the tower reads from left to right.",
  );
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "token"),
    h("th", { scope: "col" }, "its 96 numbers: blue below zero, orange above"),
    h("th", { scope: "col" }, "moved"),
  );
  const table = h("table", { class: "stripes" }, h("thead", {}, head), body);
  const beside = field("Compared with this prompt", input);
  element.append(text, h("div", { class: "exhibit" }, beside, table));
}

export const panel: Panel = { id: "embeddings", title: "Numbers get a meaning", mount };
