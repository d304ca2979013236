/** Words to numbers. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Tokens } from "../engine/types";
import { div, field, h, live, textInput } from "./dom";

/** What the tokens in use say, with start and end. */
export function namesOf(tokens: Tokens): string[] {
  const places = tokens.words.flatMap((word) => word.positions);
  const inside = tokens.texts.slice(1, Math.max(0, ...places) + 1);
  return ["start", ...inside.map((text) => text.replace("</w>", "")), "end"];
}

/** Each piece over its number. */
function pieces(tokens: Tokens) {
  const names = namesOf(tokens);
  return names.map((name, i) => {
    const isMark = i === 0 || i === names.length - 1;
    const text = h("span", { class: "text" }, name);
    const number = h("span", { class: "number" }, String(tokens.ids[i]));
    return h("li", { class: isMark ? "piece mark" : "piece" }, text, number);
  });
}

function mount(element: HTMLElement, app: App) {
  const list = h("ol", { class: "pieces", "aria-label": "Tokens of the prompt" });
  const own = h("ol", { class: "pieces", "aria-label": "Tokens of your words" });
  const cut = (text: string) =>
    void app.engine.tokenize(text.slice(0, 200)).then((tokens) => {
      own.replaceChildren(...pieces(tokens));
    });
  const input = textInput("unicorn", cut);
  cut(input.value);
  effect(() => {
    const tokens = app.drawing.value?.tokens;
    if (tokens) list.replaceChildren(...pieces(tokens));
  });
  const rest = () => {
    const tokens = app.drawing.value?.tokens;
    const empty = app.info.maxTokens - (tokens ? namesOf(tokens).length : 0);
    const all = `Every prompt is filled up to ${app.info.maxTokens} tokens`;
    return `${all}: ${empty} more ends follow.`;
  };
  element.append(list, live(rest, { class: "small" }));
  element.append(div("trial", field("Any words of yours", input), own));
}

export const panel: Panel = { id: "tokens", mount };
