/** The stage: what to draw, how, and the picture as it grows. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Sampler } from "../engine/types";
import texts from "../texts.json";
import { button, canvas, choice, div, field, figure } from "./dom";
import { fill, h, live, slider, textInput } from "./dom";
import { latentsInColor, paint } from "./pixels";
import { editsOf, NO_EDITS } from "./plain";
import { GROUPS, putWord, type Group } from "./words";

/** Name, and what it does. */
const SAMPLERS = texts.samplers as unknown as Record<Sampler, [string, string]>;


function chipList(chips: HTMLElement[], label: string) {
  const items = chips.map((chip) => h("li", {}, chip));
  return h("ul", { class: "chips", "aria-label": label }, ...items);
}

function chips(app: App, group: Group) {
  const known = new Set(app.info.knownWords);
  const isKnown = (words: string) => words.split(" ").every((word) => known.has(word));
  const list = GROUPS[group].filter(isKnown).map((words) => {
    const put = () => putWord(app.state.peek().prompt, words, group);
    const act = () => app.change({ prompt: put(), words: [] });
    return button(words, act, { class: "chip" });
  });
  effect(() => {
    const text = ` ${app.state.value.prompt.toLowerCase()} `;
    for (const chip of list) {
      chip.ariaPressed = String(text.includes(` ${chip.textContent} `));
    }
  });
  const title = h("span", { class: "label", "aria-hidden": "true" }, group);
  return div("chip-row", title, chipList(list, group));
}

function examples(app: App) {
  const known = texts.examples.map((prompt) =>
    button(prompt, () => app.change({ prompt, words: [] }), { class: "chip" }),
  );
  const title = h("summary", {}, "Prompts to begin with");
  return h("details", { class: "examples" }, title, chipList(known, "Prompts"));
}

type NumberName = "seed" | "steps" | "guidance";

/** A number to type, and beside it a slider or another way to choose one. */
function setting(app: App, name: NumberName, label: string, beside: HTMLElement) {
  const input = textInput("");
  input.id = `${name}-input`;
  input.inputMode = "decimal";
  const read = () => (input.value.trim() ? Number(input.value) : NaN);
  input.addEventListener("change", () => app.change({ [name]: read() }));
  const inputs = [input, beside].filter((one) => one instanceof HTMLInputElement);
  for (const one of inputs) one.ariaLabel = label;
  effect(() => {
    const { sampler, [name]: value } = app.state.value;
    const isUnread = name === "guidance" && sampler === "lcm";
    for (const one of inputs) {
      fill(one, value);
      one.disabled = isUnread;
    }
  });
  return field(label, input, div("pair", input, beside));
}

function samplerField(app: App) {
  const select = choice(SAMPLERS, () => {
    const sampler = select.value as Sampler;
    const { steps, sampler: before } = app.state.peek();
    const usual = before === "lcm" ? app.info.steps : steps;
    app.change({ sampler, steps: sampler === "lcm" ? 4 : usual });
  });
  select.id = "sampler-input";
  for (const option of select.options) {
    option.hidden = !app.info.samplers.includes(option.value as Sampler);
  }
  effect(() => fill(select, app.state.value.sampler));
  const about = live(() => SAMPLERS[app.state.value.sampler][1], { class: "small" });
  return field("Sampler: how to step", select, div("explained", select, about));
}

function textField(app: App, name: "prompt" | "negative", label: string) {
  const input = textInput("", (text) => app.change({ [name]: text, words: [] }));
  input.id = `${name}-input`;
  input.enterKeyHint = "go";
  effect(() => fill(input, app.state.value[name]));
  return field(label, input);
}

/** Is the last step looked at, and is everything drawn? */
function atEnd(app: App) {
  const drawing = app.drawing.value;
  const index = app.step.value?.index ?? 0;
  return drawing?.done && index === drawing.steps.length - 1 ? drawing : null;
}

function stage(app: App) {
  const noisy = canvas("The noisy latents in color", app.info.latentSize);
  const large = canvas("The picture as the network guesses it now");
  large.id = "picture";
  const when = () =>
    `step ${(app.step.value?.index ?? 0) + 1} of ${app.drawing.value?.order.steps ?? 0}`;
  const own = "Its own small picture (latents)";
  const left = live(() => (atEnd(app) ? own : `${own}, ${when()}`));
  const right = live(() => (atEnd(app) ? "The picture" : `The guess, ${when()}`));
  const time = live(() => {
    const drawing = app.drawing.value;
    const bytes = app.awaited.value;
    if (bytes) return `fetching ${(bytes / 1e6).toFixed(0)} MB`;
    if (!drawing?.done) return "drawing";
    return `${(drawing.milliseconds / 1000).toFixed(1)} s on this device`;
  });
  effect(() => {
    const step = app.step.value;
    const end = atEnd(app);
    if (!step) return;
    paint(noisy, latentsInColor(end?.latents ?? step.latents, app.info));
    paint(large, end?.picture ?? step.picture);
  });
  const arrow = h("span", { class: "arrow", "aria-hidden": "true" });
  return div("stage", figure(noisy, left), arrow, figure(large, right, time));
}

/** A reminder at the picture of what was changed further down, and the way back. */
function reminder(app: App) {
  const words = live(() => `With ${editsOf(app.state.value).join(", ")}.`);
  const undo = button("Undo all of it", () => app.change(NO_EDITS));
  const box = div("reminder", words, undo);
  effect(() => {
    box.hidden = !editsOf(app.state.value).length;
  });
  return box;
}

/** What has just happened, for those who cannot see it; said seldom. */
function progress(app: App) {
  const words = () => {
    const { order, done } = app.drawing.value ?? {};
    if (!order) return "";
    return `${done ? "Drawn" : "Drawing"}: ${order.prompt}, in ${order.steps} steps.`;
  };
  return live(words, { class: "hidden", role: "status", id: "progress" });
}

function mount(element: HTMLElement, app: App) {
  const draw = h("button", { id: "draw", class: "primary" }, "Draw");
  const line = div("line", textField(app, "prompt", "What shall it draw?"), draw);
  const said = live(() => app.said.value, { id: "said", role: "status" });
  const groups = (Object.keys(GROUPS) as Group[]).map((group) => chips(app, group));
  const parts = [line, said, reminder(app), ...groups, examples(app)];
  const form = h("form", { class: "ask" }, ...parts);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    app.draw();
  });
  const set = (name: NumberName) => (value: number) => app.change({ [name]: value });
  const dice = button("another", () => set("seed")(Math.floor(Math.random() * 1000)));
  const steps = slider([1, 50, 1, 10], set("steps"));
  const guidance = slider([0, 20, 0.5, 3], set("guidance"));
  const settings = div(
    "settings",
    setting(app, "seed", "Seed: which noise", dice),
    setting(app, "steps", "Steps: how many", steps),
    setting(app, "guidance", "Guidance: how strictly", guidance),
    samplerField(app),
    textField(app, "negative", "Steer away from"),
  );
  element.append(form, stage(app), settings, progress(app));
}

export const panel: Panel = { id: "prompt", always: true, mount };
