/** Where the network looked for a word, and what happens without the word. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Drawing, Step, WordEdit } from "../engine/types";
import { button, canvas, field, figure, fill, h, slider, why } from "./dom";
import { paint, regionOf, spotlight } from "./pixels";
import { plainPicture } from "./plain";

const TO_THE_END = 1000;
const FEW = new Set(["a", "an", "the", "at", "in", "on", "of", "is"]);

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

/** The steps that are looked at: the chosen one, or all of them. */
function stepsOf(app: App): Step[] {
  const step = app.step.value;
  const all = app.drawing.value?.steps ?? [];
  return step && app.state.value.view.step >= 0 ? [step] : all;
}

/** The word that is looked at: the reader's, or the first that names something. */
function wordOf(drawing: Drawing, chosen: number) {
  const { words } = drawing.tokens;
  if (words[chosen]) return chosen;
  return Math.max(
    0,
    words.findIndex((word) => !FEW.has(word.text)),
  );
}

/** A small lit picture for each word; to hover, to focus, to choose. */
function wordList(app: App) {
  const list = h("div", { class: "lamps", role: "group", "aria-label": "Words" });
  let shownWords = "";
  const size = app.info.latentSize ** 2;
  effect(() => {
    const drawing = app.drawing.value;
    const step = app.step.value;
    const steps = stepsOf(app);
    if (!drawing || !step) return;
    const { words } = drawing.tokens;
    const key = words.map((word) => word.text).join(" ");
    if (key !== shownWords) {
      shownWords = key;
      list.replaceChildren(
        ...words.map((word, i) => {
          const look = () => app.look({ word: i });
          const props = {
            type: "button",
            class: "lamp",
            click: look,
            pointerenter: look,
          };
          return h("button", { ...props, focus: look }, canvas(""), word.text);
        }),
      );
    }
    const chosen = wordOf(drawing, app.state.value.view.word);
    void app.picture(step.guess).then((picture) => {
      if (app.step.peek() !== step) return;
      [...list.children].forEach((lamp, i) => {
        lamp.ariaPressed = String(i === chosen);
        const map = mapOf(steps, words[i]!.positions, size);
        paint(lamp.firstChild as HTMLCanvasElement, spotlight(picture, map));
      });
    });
  });
  return list;
}

/** Hide or swap the chosen word from a step on. */
function surgery(app: App) {
  const from = slider(0, 29, 1, { value: 20 });
  const to = h("input", { value: "panda", autocomplete: "off", spellcheck: "false" });
  const title = h("p", { class: "label" });
  const word = signal(0);
  const cut = (action: WordEdit["action"]) => {
    const start = Number(from.value);
    const edit = { word: word.peek(), action, to: to.value.trim(), from: start };
    app.change({ words: [{ ...edit, until: TO_THE_END }] });
  };
  from.addEventListener("change", () => {
    const [edit] = app.state.peek().words;
    if (edit) app.change({ words: [{ ...edit, from: Number(from.value) }] });
  });
  const label = h("span", {});
  const told = () => {
    label.textContent = `From step ${Number(from.value) + 1} of ${Number(from.max) + 1} on`;
  };
  from.addEventListener("input", told);
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    word.value = wordOf(drawing, app.state.value.view.word);
    from.max = String(drawing.order.steps - 1);
    const [edit] = app.state.value.words;
    if (edit) fill(from, edit.from);
    const chosen = drawing.tokens.words[word.value];
    title.textContent = chosen ? `What if the word “${chosen.text}” were gone?` : "";
    told();
  });
  const swap = h(
    "div",
    { class: "pair" },
    button("Swap it for", () => cut("swap")),
    to,
  );
  to.setAttribute("aria-label", "The other word");
  const hide = button("Hide it", () => cut("hide"));
  const undo = button("Undo", () => app.change({ words: [] }));
  const buttons = h("div", { class: "buttons" }, hide, undo);
  return h("div", { class: "tools" }, title, field(label, from), buttons, swap);
}

function mount(element: HTMLElement, app: App) {
  const size = app.info.latentSize ** 2;
  const glow = canvas("The picture, lit where the network looked for the word");
  const caption = h("span", {});
  const before = canvas("The picture with all words");
  const after = canvas("The picture with the word hidden or swapped");
  const plain = plainPicture(app);
  effect(() => {
    const drawing = app.drawing.value;
    const step = app.step.value;
    const steps = stepsOf(app);
    if (!drawing || !step || !drawing.tokens.words.length) return;
    const word = drawing.tokens.words[wordOf(drawing, app.state.value.view.word)]!;
    const map = mapOf(steps, word.positions, size);
    const when = steps.length > 1 ? "mean of all steps" : `step ${step.index + 1}`;
    caption.textContent = `“${word.text}”, ${when}: most in ${regionOf(map)}`;
    void app.picture(step.guess).then((picture) => {
      if (app.step.peek() === step) paint(glow, spotlight(picture, map));
    });
  });
  effect(() => {
    paint(before, plain.value);
    paint(after, app.drawing.value?.picture ?? null);
  });
  const text = why(
    "Each place of the picture asks every word: are you about me? How strongly a word is " +
      "heard at a place is called attention. This is how words get into a picture.",
    "Point at a word, and the picture is lit where it was heard. Then hide it or swap it " +
      "half-way. Where is it too late?",
  );
  const pictures = h(
    "div",
    { class: "row" },
    figure(glow, caption),
    figure(before, "With all words"),
    figure(after, "As changed below"),
  );
  const exhibit = h("div", { class: "exhibit" }, wordList(app), pictures, surgery(app));
  element.append(text, exhibit);
}

export const panel: Panel = { id: "attention", title: "Which word looks where", mount };
