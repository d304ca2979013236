/** The prompt's say, amplified. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { guide } from "../engine/loop";
import { predOriginalSample } from "../engine/schedulers";
import type { Step } from "../engine/types";
import { button, canvas, div, field, h, live, row, slider } from "./dom";
import { draw, paint, paintDecoded } from "./pixels";

/** How much the words change at each of the 8x8 places. */
export function differenceMap(without: Float32Array, text: Float32Array, side: number) {
  const size = side * side;
  const lengths = Array.from({ length: size }, (_, i) => {
    const channels = [0, 1, 2, 3].map((c) => c * size + i);
    return Math.hypot(...channels.map((k) => text[k]! - without[k]!));
  });
  const most = Math.max(...lengths, 1e-6);
  return draw(side, side, (i) => {
    const light = 255 * (lengths[i]! / most);
    return [light, light * 0.86, light * 0.35 + 30];
  });
}

/** The step that is looked at, or an early one, where the two guesses differ most. */
function chosenStep(app: App): Step | null {
  const steps = app.drawing.value?.steps ?? [];
  const early = steps[Math.floor(steps.length / 8)] ?? null;
  return app.state.value.view.step < 0 ? early : app.step.value;
}

function mount(element: HTMLElement, app: App) {
  const scale = signal(app.state.peek().guidance);
  const without = canvas("The guess without words");
  const text = canvas("The guess with the prompt");
  const apart = canvas("Where the two differ", app.info.latentSize);
  const amplified = canvas("The guess with the difference amplified");
  const range = slider([-2, 20, 0.5, scale.peek()], (value) => (scale.value = value));

  function show(step: Step, value: number) {
    const { noisePredUncond: uncond, noisePredText, latents } = step;
    const alpha = app.info.alphasCumprod[step.t]!;
    const decode = (view: HTMLCanvasElement, noise: Float32Array) =>
      paintDecoded(app, view, predOriginalSample(latents, noise, alpha));
    decode(text, noisePredText);
    if (!uncond) return;
    paint(apart, differenceMap(uncond, noisePredText, app.info.latentSize));
    decode(amplified, guide(uncond, noisePredText, value));
    decode(without, uncond);
  }

  effect(() => {
    scale.value = app.state.value.guidance;
  });
  let wait = 0;
  effect(() => {
    const step = chosenStep(app);
    const value = scale.value;
    range.value = String(value);
    if (!step || !app.drawing.value?.done) return;
    window.clearTimeout(wait);
    wait = window.setTimeout(() => show(step, value), 30);
  });
  const title = live(() => {
    const step = chosenStep(app);
    if (step && !step.noisePredUncond) return "This drawing used no guidance.";
    return `The guess at step ${(step?.index ?? 0) + 1}`;
  });
  const times = live(() => `${scale.value} times the difference`);
  const keep = () => app.change({ guidance: scale.peek() });
  element.append(
    h("p", { class: "label" }, title),
    row(
      [without, "without words"],
      [text, "with the prompt"],
      [apart, "where they differ: light is much"],
      [amplified, times],
    ),
    div("tools", field("Times the difference", range), button("Draw all of it so", keep)),
  );
}

export const panel: Panel = { id: "guidance", mount };
