/** A link that holds the whole state. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, div, field, h } from "./dom";

function mount(element: HTMLElement, app: App) {
  const link = h("input", { id: "link", readonly: true });
  const told = h("span", { role: "status", class: "small" });
  effect(() => {
    void app.state.value;
    link.value = app.link();
    told.textContent = "";
  });
  const tell = (words: string) => () => {
    told.textContent = words;
  };
  const copy = button("Copy", () => {
    link.select();
    const selected = tell("Press Ctrl+C: the link is selected.");
    if (!navigator.clipboard) return selected(); // as on a page without https
    navigator.clipboard.writeText(link.value).then(tell("Copied."), selected);
  });
  element.append(
    div("line", field("Link to this page as it is", link), copy),
    told,
  );
}

export const panel: Panel = { id: "share", mount };
