/** Where the network looked for a word, and what happens without the word. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Step, WordEdit } from "../engine/types";
import { button, canvas, div, field, fill, h, live, row } from "./dom";
import { slider, textInput } from "./dom";
import { paint, regionOf, spotlight } from "./pixels";
import { beforeAndAfter } from "./plain";

const TO_THE_END = 1000;
const NAMELESS = new Set(["a", "an", "the", "at", "in", "on", "of", "is", "two", "three"]);

/** Where a word was looked for: the mean over its tokens and over steps. */
export function mapOf(steps: Step[], positions: number[], size: number): Float32Array {
  const mean = new Float32Array(size);
  const count = steps.length * positions.length;
  for (const { attention } of steps) {
    for (const at of positions) {
      for (let i = 0; i < size; i++) mean[i]! += attention[at * size + i]! / count;
    }
  }
  return mean;
}

/** The words, the one that is looked at, and the steps: the chosen one, or all. */
function looked(app: App) {
  const drawing = app.drawing.value;
  const step = app.step.value;
  if (!drawing || !step || !drawing.tokens.words.length) return null;
  const { words } = drawing.tokens;
  const { word, step: chosen } = app.state.value.view;
  const named = words.findIndex(({ text }) => !NAMELESS.has(text));
  const index = words[word] ? word : Math.max(0, named);
  const steps = chosen < 0 ? drawing.steps : [step];
  const size = app.info.latentSize ** 2;
  const map = (i: number) => mapOf(steps, words[i]!.positions, size);
  const lit = (i: number) => spotlight(step.picture, map(i));
  return { step, steps, words, index, text: words[index]!.text, map, lit };
}

/** A small lit picture for each word; to point at, to focus, to choose. */
function wordList(app: App) {
  const list = h("div", { class: "lamps", role: "group", "aria-label": "Words" });
  let shown = "";
  const lamp = (text: string, i: number) => {
    const look = () => app.look({ word: i });
    const props = { class: "lamp", pointerenter: look, focus: look };
    const one = button(text, look, props);
    one.prepend(canvas(""));
    return one;
  };
  effect(() => {
    const now = looked(app);
    if (!now) return;
    const texts = now.words.map((word) => word.text);
    if (texts.join(" ") !== shown) list.replaceChildren(...texts.map(lamp));
    shown = texts.join(" ");
    [...list.children].forEach((one, i) => {
      one.ariaPressed = String(i === now.index);
      paint(one.firstChild as HTMLCanvasElement, now.lit(i));
    });
  });
  return list;
}

/** Hide or swap the chosen word from a step on. */
function surgery(app: App) {
  const to = textInput("blue");
  to.ariaLabel = "The other word";
  const from = slider([0, 9, 1, 6], moved, "change");
  const change = (edit: Partial<WordEdit>) => {
    const word = looked(app)?.index ?? 0;
    const [begin, end] = [Number(from.value), TO_THE_END];
    const usual = { word, to: to.value.trim(), from: begin, until: end };
    app.change({ words: [{ action: "hide", ...usual, ...edit }] });
  };
  function moved(step: number) {
    const [edit] = app.state.peek().words;
    if (edit) change({ ...edit, from: step });
  }
  const when = live(() => {
    const { steps } = app.drawing.value?.order ?? app.state.value;
    const [edit] = app.state.value.words;
    from.max = String(steps - 1);
    if (!edit) return "From which step on?";
    fill(from, edit.from);
    return `Changed from step ${edit.from + 1} of ${steps} on`;
  });
  const title = live(() => `What if the word “${looked(app)?.text ?? ""}” were gone?`);
  const hide = button("Hide it", () => change({ action: "hide" }));
  const swap = button("Swap it for", () => change({ action: "swap" }));
  const undo = button("Undo", () => app.change({ words: [] }));
  const buttons = [div("buttons", hide, undo), div("pair", swap, to)];
  return div("tools", h("p", { class: "label" }, title), field(when, from), ...buttons);
}

function mount(element: HTMLElement, app: App) {
  const glow = canvas("The picture, lit where the network looked for the word");
  effect(() => {
    const now = looked(app);
    if (now) paint(glow, now.lit(now.index));
  });
  const [before, after] = beforeAndAfter(
    app,
    "The picture with all words",
    "The picture with the word hidden or swapped",
  );
  const caption = live(() => {
    const now = looked(app);
    if (!now) return "";
    const when = now.steps.length > 1 ? "all steps" : `step ${now.step.index + 1}`;
    return `“${now.text}”, ${when}: most in ${regionOf(now.map(now.index))}`;
  });
  element.append(
    wordList(app),
    h(
      "p",
      { class: "small" },
      "To be honest: in a prompt of one thing most words, even “at” and “the”, light " +
        "that thing. Where it is light does not tell what a word does: swap it and see.",
    ),
    row([glow, caption], [before, "With all words"], [after, "As changed below"]),
    surgery(app),
  );
}

export const panel: Panel = { id: "attention", mount };
