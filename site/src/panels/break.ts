/** Take a part out, and see what it was for. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import type { Broken } from "../engine/types";
import { DEFAULT_STATE } from "../state";
import texts from "../texts.json";
import { button, div, h, live, row } from "./dom";
import { beforeAndAfter } from "./plain";

/** What is taken away, and what it is for. */
const FAULTS = texts.faults as unknown as Record<keyof Broken, [string, string]>;

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
  const words = ["The picture with all parts", "The picture without the part"] as const;
  const [before, after] = beforeAndAfter(app, ...words);
  const names = Object.keys(FAULTS) as (keyof Broken)[];
  const caption = live(() => {
    const { broken } = app.state.value;
    const out = names.filter((name) => broken[name]).map((name) => FAULTS[name][0]);
    return out.join(", ") || "Nothing is taken out yet";
  });
  element.append(
    row([before, "All parts in place"], [after, caption]),
    div("faults", ...names.map((name) => toggle(app, name))),
    button("Put all parts back", () => app.change({ broken: DEFAULT_STATE.broken })),
  );
}

export const panel: Panel = { id: "break", mount };
