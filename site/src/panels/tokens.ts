/** Words to numbers. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Tokens } from "../engine/types";
import { field, h, why } from "./dom";

/** Each piece over its number; those that belong to one word stand together. */
function pieces(tokens: Tokens) {
  const inWord = new Map<number, number>();
  tokens.words.forEach((word, i) => word.positions.forEach((at) => inWord.set(at, i)));
  const count = Math.max(0, ...inWord.keys()) + 2; // with the end
  return tokens.texts.slice(0, count).map((text, i) => {
    const word = inWord.get(i);
    const kind = word === undefined ? "mark" : word % 2 ? "odd" : "even";
    const label = word === undefined ? (i ? "end" : "start") : text;
    return h(
      "li",
      { class: `piece ${kind}` },
      h("span", { class: "text" }, label.replace("</w>", "")),
      h("span", { class: "number" }, String(tokens.ids[i])),
    );
  });
}

function mount(element: HTMLElement, app: App) {
  const list = h("ol", { class: "pieces", "aria-label": "Tokens of the prompt" });
  const own = h("ol", { class: "pieces", "aria-label": "Tokens of your words" });
  const input = h("input", {
    value: "unicorn",
    autocomplete: "off",
    spellcheck: "false",
  });
  const rest = h("p", { class: "small" });
  effect(() => {
    const tokens = app.drawing.value?.tokens;
    if (!tokens) return;
    const shown = pieces(tokens);
    list.replaceChildren(...shown);
    const empty = app.info.maxTokens - shown.length;
    rest.textContent =
      `Every prompt is filled up to ${app.info.maxTokens} tokens: ` +
      `${empty} more ends follow here.`;
  });
  const cut = () => {
    const shorter = input.value.slice(0, 200);
    void app.engine.tokenize(shorter).then((tokens) => {
      own.replaceChildren(...pieces(tokens));
    });
  };
  input.addEventListener("input", cut);
  cut();
  const text = why(
    "A network calculates, and words are no numbers. So each word is looked up in a " +
      "list and becomes its place in that list: a token.",
    "Type a word that the model has never met. It is cut into pieces that are in the list.",
  );
  const trial = h("div", { class: "trial" }, field("Any words of yours", input), own);
  element.append(text, h("div", { class: "exhibit" }, list, rest, trial));
}

export const panel: Panel = { id: "tokens", title: "Words become numbers", mount };
