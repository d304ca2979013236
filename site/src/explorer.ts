/** The explorer as one function: for its page, for a lesson, for a notebook. */

import { makeApp, sentenceOf, type App, type Panel } from "./app";
import { openEngine } from "./engine/client";
import type { Places } from "./engine/types";
import { PANELS } from "./panels";
import { div, h, NARROW } from "./panels/dom";
import { DEFAULT_STATE, fromLink, type State } from "./state";
import texts from "./texts.json";

export interface Options {
  worker: Worker; // of engine/worker.ts
  model: Places;
  link?: string; // what `toLink` gave
  panels?: string[]; // ids; all if left out
}

declare global {
  interface Window {
    app?: App;
  }
}

/** The state that a link holds, and what is to be said of a damaged one. */
function begin(link: string): [State, string] {
  try {
    return [fromLink(link), ""];
  } catch (error) {
    return [DEFAULT_STATE, sentenceOf(error)];
  }
}

/** A panel under its heading, by which it is folded where it has one to be seen. */
function sectionOf(panel: Panel, app: App, isOpen: boolean): HTMLElement {
  const words: { title: string; why?: string; try?: string } = texts.panels[panel.id];
  const heading = h("h2", { id: `${panel.id}-title` }, words.title);
  const body = div("body");
  const hint = () => h("p", { class: "try" }, h("b", {}, "Try it. "), words.try!);
  const why = () => div("why", h("p", {}, words.why!), hint());
  const exhibit = div("exhibit");
  if (words.why) body.append(why(), exhibit);
  panel.mount(words.why ? exhibit : body, app);
  const folding = () => h("details", { open: isOpen }, h("summary", {}, heading), body);
  const parts = panel.always ? [heading, body] : [folding()];
  const props = { class: "panel", id: panel.id, "aria-labelledby": heading.id };
  return h("section", props, ...parts);
}

/** A bar with a sentence while the model is loaded. */
function loadingBar(root: HTMLElement) {
  const text = h("p", { id: "loading", role: "status" }, "Loading the model ...");
  const bar = h("progress", { "aria-labelledby": text.id });
  root.replaceChildren(text, bar);
  return {
    show: (share: number) => {
      bar.value = share;
      if (share >= 1) text.textContent = "Starting the networks ...";
    },
    fail: (sentence: string) => {
      bar.remove();
      text.id = "said";
      text.textContent = sentence;
    },
  };
}

/** Loads the model and puts the panels into `root`; null if that cannot be done. */
export async function mount(root: HTMLElement, options: Options) {
  const loading = loadingBar(root);
  try {
    const engine = await openEngine(options.worker, options.model, loading.show);
    const app = makeApp(engine, ...begin(options.link ?? ""));
    const wanted = options.panels ?? PANELS.map((panel) => panel.id);
    const shown = PANELS.filter((panel) => wanted.includes(panel.id));
    const isOpen = options.panels !== undefined || window.innerWidth >= NARROW;
    root.replaceChildren(...shown.map((panel) => sectionOf(panel, app, isOpen)));
    window.app = app;
    app.draw();
    return app;
  } catch (error) {
    loading.fail(sentenceOf(error));
    return null;
  }
}
