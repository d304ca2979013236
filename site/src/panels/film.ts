/** The loop as a filmstrip: every step's guess, and a scrubber to go back to one. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, canvas, h, slider } from "./dom";
import { paint } from "./pixels";

const PACE = 130; // milliseconds a step when played

function frames(app: App) {
  const strip = h("div", { class: "frames", "aria-hidden": "true" });
  const shown: unknown[] = [];
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing) return;
    const { steps } = drawing.order;
    while (strip.children.length < steps) strip.append(canvas(""));
    while (strip.children.length > steps) strip.lastElementChild!.remove();
    const chosen = app.step.value?.index ?? -1;
    [...strip.children].forEach((child, i) => {
      const step = drawing.steps[i];
      child.classList.toggle("chosen", i === chosen);
      child.classList.toggle("empty", !step);
      if (!step || shown[i] === step.guess) return;
      shown[i] = step.guess;
      void app.picture(step.guess).then((picture) => {
        if (shown[i] === step.guess) paint(child as HTMLCanvasElement, picture);
      });
    });
  });
  strip.addEventListener("click", (event) => {
    const index = [...strip.children].indexOf(event.target as Element);
    if (index >= 0) app.look({ step: index });
  });
  return strip;
}

/** Plays the steps from the first to the last. */
function player(app: App) {
  let timer = 0;
  const play = button("Play", toggle, { class: "play" });
  function stop() {
    window.clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function tick() {
    const last = (app.drawing.peek()?.steps.length ?? 0) - 1;
    const now = app.step.peek()?.index ?? last;
    if (now >= last) return stop();
    app.look({ step: now + 1 === last ? -1 : now + 1 });
  }
  function toggle() {
    if (timer) return stop();
    play.textContent = "Stop";
    app.look({ step: 0 });
    timer = window.setInterval(tick, PACE);
  }
  return play;
}

function mount(element: HTMLElement, app: App) {
  const now = h("output", { class: "now" });
  const scrubber = slider(1, 30, 1, { id: "scrubber", "aria-label": "Step" });
  scrubber.addEventListener("input", () => {
    const last = Number(scrubber.max);
    const step = Number(scrubber.value);
    app.look({ step: step === last ? -1 : step - 1 });
  });
  effect(() => {
    const { steps } = app.drawing.value?.order ?? app.state.value;
    const number = (app.step.value?.index ?? 0) + 1;
    scrubber.max = String(steps);
    scrubber.value = String(number);
    scrubber.ariaValueText = `step ${number} of ${steps}`;
    now.textContent = `step ${number} of ${steps}`;
  });
  const reel = h("div", { class: "reel" }, frames(app), scrubber);
  const buttons = h("div", { class: "film-buttons" }, player(app), now);
  element.append(buttons, reel);
}

export const panel: Panel = { id: "film", title: "The loop, step by step", mount };
