/** Take a part out, and see what it was for. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Broken } from "../engine/types";
import { DEFAULT_STATE } from "../state";
import { button, canvas, div, exhibit, h, live, row } from "./dom";
import { paint } from "./pixels";
import { grownPicture, plainPicture } from "./plain";

/** What is taken away, and what it is for. */
const FAULTS: Record<keyof Broken, [string, string]> = {
  text: [
    "No words",
    "The network reads an empty prompt. It still draws, but something of its own choice: " +
      "words only steer.",
  ],
  time: [
    "No clock",
    "It is told the same timestep always, so it does not know how much noise there is. " +
      "Blotches come: it takes away too much or too little.",
  ],
  skips: [
    "No skip connections",
    "On its way down the UNet throws detail away, and skip connections hand it over to " +
      "the way up. Without them it cannot tell which noise it saw.",
  ],
  scaling: [
    "No scaling factor",
    "Latents are scaled to a spread of about 1, and scaled back for the decoder. Here " +
      "the factor is 0.88, so little changes. In Stable Diffusion 1.x it is 0.18.",
  ],
  guidance: [
    "No guidance",
    "The words are heard once, not amplified. This small model listens well by itself: " +
      "look for colors and edges that became weaker.",
  ],
  sign: [
    "Wrong sign",
    "The noise is added where it should be taken away. One minus sign, " +
      "and nothing is left.",
  ],
};

function toggle(app: App, name: keyof Broken) {
  const [label, reason] = FAULTS[name];
  const id = `broken-${name}`;
  const props = { type: "checkbox", id, name: id, "aria-describedby": `why-${name}` };
  const box = h("input", props);
  box.addEventListener("change", () => {
    app.change({ broken: { ...app.state.peek().broken, [name]: box.checked } });
  });
  effect(() => {
    box.checked = app.state.value.broken[name];
  });
  const text = h("p", { id: `why-${name}`, class: "small" }, reason);
  return div("fault", div("switch", box, h("label", { for: id }, label)), text);
}

function mount(element: HTMLElement, app: App) {
  const before = canvas("The picture with all parts");
  const after = canvas("The picture without the part");
  const plain = plainPicture(app);
  const names = Object.keys(FAULTS) as (keyof Broken)[];
  effect(() => {
    paint(before, plain.value);
    paint(after, grownPicture(app));
  });
  const caption = live(() => {
    const { broken } = app.state.value;
    const out = names.filter((name) => broken[name]).map((name) => FAULTS[name][0]);
    return out.join(", ") || "Nothing is taken out yet";
  });
  exhibit(
    element,
    [
      "You know what a part is for when you have seen the picture without it.",
      "Before you take one out, say aloud what will happen.",
    ],
    row([before, "All parts in place"], [after, caption]),
    div("faults", ...names.map((name) => toggle(app, name))),
    button("Put all parts back", () => app.change({ broken: DEFAULT_STATE.broken })),
  );
}

export const panel: Panel = { id: "break", title: "Break it", mount };
