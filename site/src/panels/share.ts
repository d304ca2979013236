/** A link that holds the whole state. */

import { effect } from "@preact/signals-core";
import type { App, Panel } from "../app";
import { button, field, h, why } from "./dom";

function mount(element: HTMLElement, app: App) {
  const link = h("input", { id: "link", readonly: true });
  const told = h("span", { role: "status", class: "small" });
  effect(() => {
    void app.state.value;
    link.value = app.link();
    told.textContent = "";
  });
  const copy = button("Copy", () => {
    link.select();
    navigator.clipboard.writeText(link.value).then(
      () => (told.textContent = "Copied."),
      () => (told.textContent = "Press Ctrl+C: the link is selected."),
    );
  });
  const text = why(
    "This link holds all that you have set, painted and broken, and nothing about you.",
    "Send it to somebody: the same picture will grow on their screen.",
  );
  const line = h(
    "div",
    { class: "line" },
    field("Link to this page as it is", link),
    copy,
  );
  element.append(text, h("div", { class: "exhibit" }, line, told));
}

export const panel: Panel = { id: "share", title: "Send it to somebody", mount };
