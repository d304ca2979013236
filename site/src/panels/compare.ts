/** Two drawings side by side that differ in one thing. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Drawing, Order } from "../engine/types";
import { button, canvas, field, figure, h, why } from "./dom";
import { latentsInColor, paint } from "./pixels";

type Field = "prompt" | "seed" | "steps" | "guidance" | "sampler";
const FIELDS: Record<Field, string> = {
  prompt: "the prompt",
  seed: "the seed",
  steps: "the steps",
  guidance: "the guidance",
  sampler: "the sampler",
};
const BEGIN: Record<Field, (order: Order) => string> = {
  prompt: () => "a panda at the beach",
  seed: (order) => String(order.seed + 1),
  steps: () => "8",
  guidance: () => "1",
  sampler: (order) => (order.sampler === "euler" ? "ddim" : "euler"),
};

/** One of the two: latents beside the picture, and what is special about it. */
function side(app: App, drawing: () => Drawing | null, label: string) {
  const noisy = canvas(`${label}: latents`, app.info.latentSize);
  const picture = canvas(`${label}: picture`);
  const caption = h("span", {});
  effect(() => {
    const now = drawing();
    if (!now?.steps.length) return;
    const { view } = app.state.value;
    const last = now.steps.length - 1;
    const share = view.step < 0 ? 1 : view.step / (app.state.value.steps - 1);
    const step = now.steps[view.step < 0 ? last : Math.round(share * last)]!;
    paint(noisy, latentsInColor(view.step < 0 ? step.prev : step.latents, app.info));
    caption.textContent = `${now.order.prompt}, seed ${now.order.seed}`;
    if (view.step < 0 && now.picture) return paint(picture, now.picture);
    void app.picture(step.guess).then((made) => paint(picture, made));
  });
  return figure(h("div", { class: "pairing" }, noisy, picture), caption);
}

function mount(element: HTMLElement, app: App) {
  const which = h(
    "select",
    {},
    ...Object.entries(FIELDS).map(([name, text]) => h("option", { value: name }, text)),
  );
  const value = h("input", { autocomplete: "off", spellcheck: "false" });
  const suggest = () => {
    value.value = BEGIN[which.value as Field](app.state.peek());
  };
  which.addEventListener("change", suggest);
  suggest();
  const read = (name: Field) =>
    name === "prompt" || name === "sampler" ? value.value : Number(value.value || NaN);
  const start = button("Compare", () => {
    const name = which.value as Field;
    app.change({ compare: { [name]: read(name) } });
  });
  const stop = button("Stop comparing", () => app.change({ compare: null }));
  start.className = "primary";
  const pictures = h(
    "div",
    { class: "row" },
    side(app, () => app.drawing.value, "First"),
    side(app, () => app.other.value, "Second"),
  );
  effect(() => {
    const { compare } = app.state.value;
    pictures.classList.toggle("alone", !compare);
    stop.hidden = !compare;
    const [entry] = Object.entries(compare ?? {});
    if (!entry || !(entry[0] in FIELDS)) return;
    which.value = entry[0];
    value.value = String(entry[1]);
  });
  const text = why(
    "If two pictures differ in one thing alone, what you see is what that thing does. " +
      "Both begin from the same noise unless you change the seed.",
    "Compare 30 steps with 8, or two prompts that differ in one word. The filmstrip " +
      "below scrubs through both.",
  );
  const tools = h(
    "div",
    { class: "tools" },
    field("Change", which),
    field("to", value),
    h("div", { class: "buttons" }, start, stop),
  );
  element.append(text, h("div", { class: "exhibit" }, tools, pictures));
}

export const panel: Panel = { id: "compare", title: "Change one thing", mount };
