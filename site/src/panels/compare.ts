/** Two drawings side by side that differ in one thing. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Drawing, Order } from "../engine/types";
import { button, canvas, choice, div } from "./dom";
import { field, figure, live, textInput } from "./dom";
import { latentsInColor, paint } from "./pixels";

/** What can be changed, and a value to begin with. */
const FIELDS: Record<string, [string, (order: Order) => string | number]> = {
  prompt: ["the prompt", () => "a panda at the beach"],
  seed: ["the seed", (order) => order.seed + 1],
  steps: ["the steps", () => 3],
  guidance: ["the guidance", () => 1],
  sampler: ["the sampler", (order) => (order.sampler === "euler" ? "ddim" : "euler")],
};

/** One of the two: latents beside the picture, and what it was made from. */
function side(app: App, drawing: () => Drawing | null, label: string) {
  const noisy = canvas(`${label}: latents`, app.info.latentSize);
  const picture = canvas(`${label}: picture`);
  effect(() => {
    const now = drawing();
    const last = (now?.steps.length ?? 0) - 1;
    if (!now || last < 0) return;
    const { steps, view } = app.state.value;
    const isEnd = view.step < 0;
    const share = isEnd ? 1 : Math.min(1, view.step / Math.max(1, steps - 1));
    const step = now.steps[Math.round(share * last)]!;
    paint(noisy, latentsInColor(isEnd ? step.prev : step.latents, app.info));
    paint(picture, (isEnd && now.picture) || step.picture);
  });
  const caption = live(() => {
    const order = drawing()?.order;
    if (!order) return "";
    const { prompt, seed, steps, guidance, sampler } = order;
    return `${prompt}: seed ${seed}, ${steps} steps, guidance ${guidance}, ${sampler}`;
  });
  return figure(div("pairing", noisy, picture), caption);
}

function mount(element: HTMLElement, app: App) {
  const value = textInput("");
  const which = choice(FIELDS, suggest);
  function suggest() {
    value.value = String(FIELDS[which.value]![1](app.state.peek()));
  }
  suggest();
  const start = () => {
    const name = which.value;
    const isText = name === "prompt" || name === "sampler";
    const to = isText ? value.value : Number(value.value || NaN);
    app.change({ compare: { [name]: to } });
  };
  const go = button("Compare", start, { class: "primary" });
  const stop = button("Stop comparing", () => app.change({ compare: null }));
  const first = side(app, () => app.drawing.value, "First");
  const second = side(app, () => app.other.value, "Second");
  const pictures = div("row", first, second);
  effect(() => {
    const { compare } = app.state.value;
    pictures.classList.toggle("alone", !compare);
    stop.hidden = !compare;
    const [name, own] = Object.entries(compare ?? {})[0] ?? [];
    if (!name || !(name in FIELDS)) return;
    which.value = name;
    value.value = String(own);
  });
  const buttons = div("buttons", go, stop);
  element.append(div("tools", field("Change", which), field("to", value), buttons));
  element.append(pictures);
}

export const panel: Panel = { id: "compare", mount };
