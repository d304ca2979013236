/** The prompt's say, amplified. */

import { effect, signal } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Step } from "../engine/types";
import { button, canvas, field, figure, h, slider, why } from "./dom";
import { draw, guessOf, guided, paint } from "./pixels";

/** How much the words change at each of the 8x8 places. */
export function differenceMap(
  without: Float32Array,
  with_: Float32Array,
  side: number,
) {
  const size = side * side;
  const lengths = Array.from({ length: size }, (_, i) => {
    const channels = [0, 1, 2, 3].map((c) => c * size + i);
    return Math.hypot(...channels.map((k) => with_[k]! - without[k]!));
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
  const early = steps[Math.floor(steps.length / 10)] ?? null;
  return app.state.value.view.step < 0 ? early : app.step.value;
}

function mount(element: HTMLElement, app: App) {
  const scale = signal(app.state.peek().guidance);
  const views = [
    canvas("The guess without words"),
    canvas("The guess with the prompt"),
    canvas("Where the two differ", app.info.latentSize),
    canvas("The guess with the difference amplified"),
  ] as const;
  const amplified = h("span", {});
  const title = h("p", { class: "label" });
  const range = slider(-2, 20, 0.5, {});
  range.addEventListener("input", () => {
    scale.value = Number(range.value);
  });
  effect(() => {
    scale.value = app.state.value.guidance;
  });

  async function show(step: Step, value: number) {
    const without = step.noisePredUncond;
    const a = app.info.alphasCumprod[Math.round(step.t)]!;
    const guesses = [without, step.noisePredText].map((noise) =>
      noise ? guessOf(step.latents, noise, a) : null,
    );
    if (without) {
      guesses.push(
        guessOf(step.latents, guided(without, step.noisePredText, value), a),
      );
      paint(views[2], differenceMap(without, step.noisePredText, app.info.latentSize));
    }
    const wanted = [views[0], views[1], views[3]];
    const made = await Promise.all(
      guesses.map((guess) => (guess ? app.picture(guess) : null)),
    );
    if (shown !== step || scale.peek() !== value) return;
    made.forEach((picture, i) => paint(wanted[i]!, picture));
  }

  let shown: Step | null = null;
  let wait = 0;
  effect(() => {
    const step = chosenStep(app);
    const value = scale.value;
    range.value = String(value);
    amplified.textContent = `${value} times the difference`;
    if (!step || !app.drawing.value?.done) return;
    shown = step;
    title.textContent = step.noisePredUncond
      ? `The guess at step ${step.index + 1}`
      : "This drawing used no guidance: move the slider of the stage to 5 to see it.";
    window.clearTimeout(wait);
    wait = window.setTimeout(() => void show(step, value), 30);
  });
  const apply = button("Draw all of it so", () =>
    app.change({ guidance: scale.peek() }),
  );
  const text = why(
    "At each step the network guesses twice: without words, and with yours. The " +
      "difference is what your words want. Guidance takes more of it than there is.",
    "Move the slider, then look at other steps in the filmstrip. At 0 the words are not " +
      "heard, at 1 they are heard as they are, above that they are shouted.",
  );
  const pictures = h(
    "div",
    { class: "row four" },
    figure(views[0], "without words"),
    figure(views[1], "with the prompt"),
    figure(views[2], "where they differ: light is much"),
    figure(views[3], amplified),
  );
  const tools = h(
    "div",
    { class: "tools" },
    field("Times the difference", range),
    apply,
  );
  element.append(text, h("div", { class: "exhibit" }, title, pictures, tools));
}

export const panel: Panel = { id: "guidance", title: "Listening harder", mount };
