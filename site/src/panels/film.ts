/** The loop as a filmstrip: every step's guess, and a scrubber to go back to one. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, canvas, div, live, slider } from "./dom";
import { paint } from "./pixels";

const PACE = 1500; // milliseconds for the whole film

function frames(app: App) {
  const strip = div("frames");
  strip.ariaHidden = "true";
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
      if (step) paint(child as HTMLCanvasElement, step.picture);
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
  const play = button("Play", () => (timer ? stop() : start()));
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
  function start() {
    play.textContent = "Stop";
    app.look({ step: 0 });
    timer = window.setInterval(tick, PACE / app.state.peek().steps);
  }
  return play;
}

function mount(element: HTMLElement, app: App) {
  const total = () => (app.drawing.value?.order ?? app.state.value).steps;
  const words = () => `step ${(app.step.value?.index ?? 0) + 1} of ${total()}`;
  const scrubber = slider([1, 10, 1, 10], (number) => {
    app.look({ step: number === total() ? -1 : number - 1 });
  });
  scrubber.id = "scrubber";
  scrubber.ariaLabel = "Step";
  const reel = div("reel", frames(app), scrubber);
  effect(() => {
    scrubber.max = String(total());
    scrubber.value = String((app.step.value?.index ?? 0) + 1);
    scrubber.ariaValueText = words();
    reel.style.setProperty("--steps", scrubber.max);
  });
  element.append(div("film-buttons", player(app), live(words, { class: "now" })), reel);
}

export const panel: Panel = { id: "film", always: true, mount };
