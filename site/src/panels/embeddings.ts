/** Each token as a row of numbers that the text tower made. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { canvas, exhibit, field, h, textInput } from "./dom";
import { paint, signedMap } from "./pixels";
import { namesOf } from "./tokens";

const STRONGEST = 2.5; // the number that gets the full color
const TWINS: Record<string, string> = {
  red: "blue",
  horse: "fish",
  panda: "cat",
  beach: "river",
  night: "sunset",
};

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

/** The prompt with one word exchanged, to begin with. */
function neighbour(prompt: string) {
  const word = Object.keys(TWINS).find((known) => prompt.split(" ").includes(known));
  return word ? prompt.replace(word, TWINS[word]!) : `${prompt} at night`;
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

  let prompt = "";
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    if (drawing.order.prompt !== prompt) input.value = neighbour(drawing.order.prompt);
    else if (body.childElementCount) return;
    prompt = drawing.order.prompt;
    void show();
  });
  const columns = ["token", "its 96 numbers: blue below zero, orange above", "moved"];
  const heads = columns.map((text) => h("th", { scope: "col" }, text));
  const head = h("thead", {}, h("tr", {}, ...heads));
  exhibit(
    element,
    [
      "A place in a list says nothing of what a word means. The text tower turns each " +
        "token into 96 numbers that do, and that also know the words before it.",
      "Change one word below. Tokens before it stay as they were, and those after it " +
        "move: the tower reads from left to right.",
    ],
    field("Compared with this prompt", input),
    h("table", { class: "stripes" }, head, body),
  );
}

export const panel: Panel = { id: "embeddings", title: "Numbers get a meaning", mount };
