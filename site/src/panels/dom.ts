/** Few helpers to make elements; no framework. */

type Child = Node | string | null;
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
    else if (value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A canvas of so many pixels, with words for those who do not see it. */
export function canvas(label: string, width = 64, height = width, props: Props = {}) {
  const named = label
    ? { role: "img", "aria-label": label }
    : { "aria-hidden": "true" };
  return h("canvas", { width, height, ...named, ...props });
}

/** A picture over its caption. */
export function figure(picture: Element, caption: Child, props: Props = {}) {
  return h("figure", props, picture, h("figcaption", {}, caption));
}

/** The sentence that says what a panel is for, and what to try. */
export function why(sentence: string, attempt: string) {
  const hint = h("p", { class: "try" }, h("b", {}, "Try it. "), attempt);
  return h("div", { class: "why" }, h("p", {}, sentence), hint);
}

export function button(text: string, act: () => void, props: Props = {}) {
  return h("button", { type: "button", click: act, ...props }, text);
}

let made = 0;

/** An input below its label; it may stand in a box with others. */
export function field(label: Child, input: HTMLElement, box: Element = input) {
  input.id ||= `field-${++made}`;
  return h("div", { class: "field" }, h("label", { for: input.id }, label), box);
}

export function slider(least: number, most: number, step: number, props: Props = {}) {
  return h("input", { type: "range", min: least, max: most, step, ...props });
}

/** Sets an input unless somebody is typing in it. */
export function fill(
  input: HTMLInputElement | HTMLSelectElement,
  value: string | number,
) {
  if (document.activeElement !== input || input.type === "range") {
    input.value = String(value);
  }
}
