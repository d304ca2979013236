/** The explorer as one function: for its page, for a lesson, for a notebook. */

import { makeApp, sentenceOf, type App, type Panel } from "./app";
import { openEngine } from "./engine/client";
import { PANELS } from "./panels";
import { DEFAULT_STATE, fromLink, type State } from "./state";

export interface Options {
  link?: string; // what `toLink` gave
  panels?: string[]; // ids; all if left out
  model?: string; // address of the folder of model.json
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

function sectionOf(panel: Panel, app: App): HTMLElement {
  const section = document.createElement("section");
  const heading = document.createElement("h2");
  const body = document.createElement("div");
  section.className = "panel";
  section.id = panel.id;
  heading.id = `${panel.id}-title`;
  heading.textContent = panel.title;
  section.setAttribute("aria-labelledby", heading.id);
  body.className = "body";
  section.append(heading, body);
  panel.mount(body, app);
  return section;
}

/** A bar with a sentence while the model is loaded. */
function loadingBar(root: HTMLElement) {
  const text = document.createElement("p");
  const bar = document.createElement("progress");
  text.setAttribute("role", "status");
  text.id = "loading";
  text.textContent = "Loading the model, about 20 MB ...";
  bar.setAttribute("aria-labelledby", text.id);
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
export async function mount(root: HTMLElement, options: Options = {}) {
  const base = options.model ?? new URL("model/", document.baseURI).href;
  const loading = loadingBar(root);
  try {
    const engine = await openEngine(base, loading.show);
    const app = makeApp(engine, ...begin(options.link ?? ""));
    const wanted = options.panels ?? PANELS.map((panel) => panel.id);
    const shown = PANELS.filter((panel) => wanted.includes(panel.id));
    root.replaceChildren(...shown.map((panel) => sectionOf(panel, app)));
    window.app = app;
    app.draw();
    return app;
  } catch (error) {
    loading.fail(sentenceOf(error));
    return null;
  }
}
