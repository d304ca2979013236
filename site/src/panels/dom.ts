/** Few helpers to make elements; no framework. */

import { effect } from "@preact/signals-core";

/** Pixels of width below which the page is a phone's; explorer.css has the same. */
export const NARROW = 641;

type Child = Node | string;
type Props = Record<string, string | number | boolean | ((event: Event) => void)>;

/** An element: a function is a listener, true is an empty attribute, false is none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : `${value}`);
  }
  element.append(...children);
  return element;
}

export function div(name: string, ...children: Child[]) {
  return h("div", { class: name }, ...children);
}

/** Words that follow the signals they are made from. */
export function live(words: () => string, props: Props = {}) {
  const element = h("span", props);
  effect(() => {
    element.textContent = words();
  });
  return element;
}

/** A canvas of so many pixels, with words for those who do not see it. */
export function canvas(label: string, width = 64, height = width) {
  const named = { role: "img", "aria-label": label };
  return h("canvas", { width, height, ...(label ? named : { "aria-hidden": "true" }) });
}

export function figure(picture: Element, ...caption: Child[]) {
  return h("figure", {}, picture, h("figcaption", {}, ...caption));
}

/** Pictures side by side, each over its caption. */
export function row(...pictures: [Element, Child][]) {
  return div("row", ...pictures.map(([picture, caption]) => figure(picture, caption)));
}

export function button(text: string, act: () => void, props: Props = {}) {
  return h("button", { type: "button", click: act, ...props }, text);
}

/** Unfolds a panel and brings it, or a part of it, into view. */
export function visit(id: string, part = ":scope"): Element | null {
  const panel = document.getElementById(id);
  panel?.querySelector(":scope > details")?.setAttribute("open", "");
  const target = panel?.querySelector(part) ?? panel;
  target?.scrollIntoView({ block: "start" });
  return panel;
}

let made = 0;

/** An input below its label; it may stand in a box with others. */
export function field(label: Child, input: HTMLElement, box: Element = input) {
  input.id ||= `field-${++made}`;
  return div("field", h("label", { for: input.id }, label), box);
}

/** A line to type in; `act` hears every letter. */
export function textInput(value: string, act: (text: string) => void = () => undefined) {
  const input = h("input", { value, autocomplete: "off", spellcheck: "false" });
  input.addEventListener("input", () => act(input.value));
  return input;
}

export function slider(
  [least, most, step, value]: [number, number, number, number],
  act: (value: number) => void = () => undefined,
  when: "input" | "change" = "input",
) {
  const range = h("input", { type: "range", min: least, max: most, step, value });
  range.addEventListener(when, () => act(Number(range.value)));
  return range;
}

/** A list to choose from; what is shown of each value is its text, or the first of them. */
export function choice(
  names: Record<string, string | readonly [string, ...unknown[]]>,
  act: () => void = () => undefined,
) {
  const options = Object.entries(names).map(([value, name]) =>
    h("option", { value }, typeof name === "string" ? name : name[0]),
  );
  return h("select", { change: act }, ...options);
}

/** Sets an input unless somebody is typing in it. */
export function fill(input: HTMLInputElement | HTMLSelectElement, value: string | number) {
  const isTyping = document.activeElement === input && input.type === "text";
  if (!isTyping) input.value = String(value);
}
