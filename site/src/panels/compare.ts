/** Two drawings side by side that differ in one thing. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Drawing, Order } from "../engine/types";
import {
  button,
  canvas,
  choice,
  div,
  exhibit,
  field,
  figure,
  live,
  textInput,
} from "./dom";
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
  steps: () => "3",
  guidance: () => "1",
  sampler: (order) => (order.sampler === "euler" ? "ddim" : "euler"),
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
    if (isEnd && now.picture) return paint(picture, now.picture);
    void app.picture(step.guess).then((made) => paint(picture, made));
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
    value.value = BEGIN[which.value as Field](app.state.peek());
  }
  suggest();
  const start = () => {
    const name = which.value as Field;
    const isText = name === "prompt" || name === "sampler";
    app.change({
      compare: { [name]: isText ? value.value : Number(value.value || NaN) },
    });
  };
  const go = button("Compare", start, { class: "primary" });
  const stop = button("Stop comparing", () => app.change({ compare: null }));
  const pictures = div(
    "row",
    side(app, () => app.drawing.value, "First"),
    side(app, () => app.other.value, "Second"),
  );
  effect(() => {
    const { compare } = app.state.value;
    pictures.classList.toggle("alone", !compare);
    stop.hidden = !compare;
    const [name, own] = Object.entries(compare ?? {})[0] ?? [];
    if (!name || !(name in FIELDS)) return;
    which.value = name;
    value.value = String(own);
  });
  exhibit(
    element,
    [
      "If two pictures differ in one thing alone, what you see is what that thing does. " +
        "Both begin from the same noise unless you change the seed.",
      "Compare ten steps with three, or two prompts that differ in one word. The " +
        "filmstrip scrubs through both.",
    ],
    div("tools", field("Change", which), field("to", value), div("buttons", go, stop)),
    pictures,
  );
}

export const panel: Panel = { id: "compare", title: "Change one thing", mount };
