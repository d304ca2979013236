/** The stage: what to draw, how, and the picture as it grows. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Sampler } from "../engine/types";
import { button, canvas, field, fill, h, slider } from "./dom";
import { latentsInColor, paint } from "./pixels";
import { EXAMPLES, GROUPS, putWord, type Group } from "./words";

const SAMPLERS: Record<Sampler, string> = {
  ddim: "DDIM",
  euler: "Euler",
  "dpm++": "DPM-Solver++",
  lcm: "four-step model",
};
const NAMES: Record<Group, string> = {
  things: "Things",
  colors: "Colors",
  places: "Places",
  between: "Together",
};

function chips(app: App, group: Group) {
  const known = new Set(app.info.knownWords);
  const offered = GROUPS[group].filter((words) =>
    words.split(" ").every((word) => known.has(word)),
  );
  const put = (words: string) => () =>
    app.change({ prompt: putWord(app.state.peek().prompt, words, group), words: [] });
  const list = offered.map((words) =>
    h(
      "li",
      {},
      button(words, put(words), { class: `chip ${group}`, "data-word": words }),
    ),
  );
  effect(() => {
    const text = ` ${app.state.value.prompt.toLowerCase()} `;
    for (const item of list) {
      const chip = item.firstElementChild as HTMLElement;
      chip.ariaPressed = String(text.includes(` ${chip.dataset["word"]} `));
    }
  });
  const title = h("span", { class: "label", id: `chips-${group}` }, NAMES[group]);
  const chipList = h("ul", { class: "chips", "aria-labelledby": title.id }, ...list);
  return h("div", { class: "chip-row" }, title, chipList);
}

function examples(app: App) {
  const known = EXAMPLES.map((prompt) =>
    h(
      "li",
      {},
      button(prompt, () => app.change({ prompt, words: [] }), { class: "chip" }),
    ),
  );
  return h(
    "details",
    { class: "examples" },
    h("summary", {}, "Prompts to begin with"),
    h("ul", { class: "chips" }, ...known),
  );
}

type NumberName = "seed" | "steps" | "guidance";

/** A number to type, and a slider for it where there are few. */
function setting(app: App, name: NumberName, label: string, most = 0) {
  const numeric = { inputmode: "decimal", autocomplete: "off" };
  const input = h("input", { id: `${name}-input`, ...numeric });
  const read = (text: string) =>
    app.change({ [name]: text.trim() ? Number(text) : NaN });
  input.addEventListener("change", () => read(input.value));
  const range = slider(1, most, name === "steps" ? 1 : 0.5, { "aria-label": label });
  range.addEventListener("input", () => read(range.value));
  effect(() => {
    fill(input, app.state.value[name]);
    fill(range, app.state.value[name]);
  });
  const dice = button("another", () => {
    app.change({ seed: Math.floor(Math.random() * 1000) });
  });
  const beside = most ? range : dice;
  return field(label, input, h("div", { class: "pair" }, input, beside));
}

function samplerField(app: App) {
  const options = app.info.samplers.map((name) =>
    h("option", { value: name }, SAMPLERS[name]),
  );
  const select = h("select", { id: "sampler-input" }, ...options);
  select.addEventListener("change", () => {
    const sampler = select.value as Sampler;
    const steps = app.state.peek().steps;
    const usual = sampler === "lcm" ? 4 : steps === 4 ? 30 : steps;
    app.change({ sampler, steps: usual });
  });
  effect(() => fill(select, app.state.value.sampler));
  return field("Sampler", select);
}

function textField(app: App, name: "prompt" | "negative", label: string) {
  const input = h("input", {
    id: `${name}-input`,
    autocomplete: "off",
    spellcheck: "false",
    enterkeyhint: "go",
  });
  input.addEventListener("input", () => app.change({ [name]: input.value, words: [] }));
  effect(() => fill(input, app.state.value[name]));
  return field(label, input);
}

function stage(app: App) {
  const noisy = canvas("The noisy latents in color", app.info.latentSize);
  const large = canvas("The picture as the network guesses it now", 64, 64, {
    id: "picture",
  });
  const left = h("figcaption", {});
  const right = h("figcaption", {});
  const time = h("span", { class: "time" });
  effect(() => {
    const drawing = app.drawing.value;
    const step = app.step.value;
    if (!drawing || !step) return;
    const isLast = drawing.done && step.index === drawing.steps.length - 1;
    const latents = isLast && drawing.latents ? drawing.latents : step.latents;
    paint(noisy, latentsInColor(latents, app.info));
    const number = `${step.index + 1} of ${drawing.order.steps}`;
    left.textContent = isLast
      ? "Latents: the noise is gone"
      : `Latents, step ${number}`;
    right.textContent = isLast ? "The picture" : `The guess, step ${number}`;
    const seconds = (drawing.milliseconds / 1000).toFixed(1);
    time.textContent = drawing.done ? `${seconds} s on this device` : "drawing";
    if (isLast && drawing.picture) return paint(large, drawing.picture);
    if (step.picture) return paint(large, step.picture);
    void app.picture(step.guess).then((picture) => {
      if (app.step.peek() === step) paint(large, picture);
    });
  });
  const noisyFigure = h("figure", { class: "noisy" }, noisy, left);
  return h(
    "div",
    { class: "stage" },
    noisyFigure,
    h("span", { class: "arrow", "aria-hidden": "true" }),
    h("figure", { class: "guess" }, large, h("div", { class: "under" }, right, time)),
  );
}

/** What has just happened, for those who cannot see it; said seldom. */
function progress(app: App) {
  const status = h("p", { class: "hidden", role: "status", id: "progress" });
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    const { prompt, steps } = drawing.order;
    if (drawing.done) status.textContent = `Drawn: ${prompt}, in ${steps} steps.`;
    else if (drawing.steps.length === 1) status.textContent = `Drawing ${prompt}.`;
  });
  return status;
}

function mount(element: HTMLElement, app: App) {
  const said = h("p", { id: "said", role: "status" });
  effect(() => {
    said.textContent = app.said.value;
  });
  const drawButton = button("Draw", () => app.draw(), { id: "draw", class: "primary" });
  const line = textField(app, "prompt", "What shall it draw?");
  const form = h(
    "form",
    { class: "ask" },
    h("div", { class: "line" }, line, drawButton),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    app.draw();
  });
  const settings = h(
    "div",
    { class: "settings" },
    setting(app, "seed", "Seed: which noise"),
    setting(app, "steps", "Steps", 50),
    setting(app, "guidance", "Guidance: how strictly", 20),
    samplerField(app),
    textField(app, "negative", "Steer away from"),
  );
  const groups = (Object.keys(GROUPS) as Group[]).map((group) => chips(app, group));
  form.append(said, ...groups, examples(app));
  element.append(form, stage(app), settings, progress(app));
}

export const panel: Panel = { id: "prompt", title: "From words to a picture", mount };
