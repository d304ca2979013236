/** Where the network looked for a word, and what happens without the word. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Step, WordEdit } from "../engine/types";
import { button, canvas, div, exhibit, field, fill, h, live, row } from "./dom";
import { slider, textInput } from "./dom";
import { paint, regionOf, spotlight } from "./pixels";
import { grownPicture, plainPicture } from "./plain";

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
  const named = Math.max(
    0,
    words.findIndex(({ text }) => !NAMELESS.has(text)),
  );
  const index = words[word] ? word : named;
  const steps = chosen < 0 ? drawing.steps : [step];
  const size = app.info.latentSize ** 2;
  const map = (i: number) => mapOf(steps, words[i]!.positions, size);
  return { drawing, step, steps, words, index, map };
}

/** A small lit picture for each word; to point at, to focus, to choose. */
function wordList(app: App) {
  const list = div("lamps");
  list.role = "group";
  list.ariaLabel = "Words";
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
    const lamps = [...list.children];
    lamps.forEach((one, i) => (one.ariaPressed = String(i === now.index)));
    void app.picture(now.step.guess).then((picture) => {
      if (app.step.peek() !== now.step) return;
      lamps.forEach((one, i) => {
        paint(one.firstChild as HTMLCanvasElement, spotlight(picture, now.map(i)));
      });
    });
  });
  return list;
}

/** Hide or swap the chosen word from a step on. */
function surgery(app: App) {
  const to = textInput("blue");
  to.ariaLabel = "The other word";
  const change = (edit: Partial<WordEdit>) => {
    const usual = { word: looked(app)?.index ?? 0, to: to.value.trim(), from: start };
    const until = TO_THE_END;
    app.change({ words: [{ action: "hide", ...usual, until, ...edit }] });
  };
  let start = 6;
  const from = slider(
    [0, 9, 1, start],
    (value) => {
      start = value;
      const [edit] = app.state.peek().words;
      if (edit) change({ ...edit, from: value });
    },
    "change",
  );
  const when = live(() => {
    const steps = app.drawing.value?.order.steps ?? app.state.value.steps;
    const [edit] = app.state.value.words;
    from.max = String(steps - 1);
    if (edit) fill(from, (start = edit.from));
    return edit ? `Changed from step ${start + 1} of ${steps} on` : "From which step on?";
  });
  const title = live(() => {
    const now = looked(app);
    return now ? `What if the word “${now.words[now.index]!.text}” were gone?` : "";
  });
  const hide = button("Hide it", () => change({ action: "hide" }));
  const swap = button("Swap it for", () => change({ action: "swap" }));
  const undo = button("Undo", () => app.change({ words: [] }));
  return div(
    "tools",
    h("p", { class: "label" }, title),
    field(when, from),
    div("buttons", hide, undo),
    div("pair", swap, to),
  );
}

function mount(element: HTMLElement, app: App) {
  const glow = canvas("The picture, lit where the network looked for the word");
  const before = canvas("The picture with all words");
  const after = canvas("The picture with the word hidden or swapped");
  const plain = plainPicture(app);
  effect(() => {
    const now = looked(app);
    if (!now) return;
    void app.picture(now.step.guess).then((picture) => {
      if (app.step.peek() === now.step) paint(glow, spotlight(picture, now.map(now.index)));
    });
  });
  effect(() => {
    paint(before, plain.value);
    paint(after, grownPicture(app));
  });
  const caption = live(() => {
    const now = looked(app);
    if (!now) return "";
    const when = now.steps.length > 1 ? "all steps" : `step ${now.step.index + 1}`;
    const where = regionOf(now.map(now.index));
    return `“${now.words[now.index]!.text}”, ${when}: most in ${where}`;
  });
  exhibit(
    element,
    [
      "Each place of the picture asks every word: are you about me? How strongly a word " +
        "is heard at a place is called attention. This is how words get into a picture.",
      "Point at a word, and the picture is lit where it was heard. Then hide it or swap " +
        "it half-way. Where is it too late?",
    ],
    wordList(app),
    row([glow, caption], [before, "With all words"], [after, "As changed below"]),
    surgery(app),
  );
}

export const panel: Panel = { id: "attention", title: "Which word looks where", mount };
