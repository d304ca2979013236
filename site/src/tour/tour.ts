/** The guided tour: at each stop first a prediction, then the thing itself. */

import { effect } from "@preact/signals-core";
import type { App } from "../app";
import { button, div, h, NARROW, visit } from "../panels/dom";
import { FRESH, STOPS, type Stop } from "./stops";

const page = document.documentElement;

function goTo(id: string) {
  document.querySelectorAll(".visited").forEach((one) => one.classList.remove("visited"));
  const isNarrow = window.innerWidth < NARROW; // then the picture matters most
  visit(id, isNarrow ? ".row, .stage" : undefined)?.classList.add("visited");
}

/** The choices, and what they say when one is needed and none was taken. */
function quiz(stop: Stop) {
  const choices = stop.choices.map((text, i) => {
    const input = h("input", { type: "radio", name: "prediction", value: i });
    return h("label", {}, input, text);
  });
  const element = h("fieldset", {}, h("legend", {}, stop.question), ...choices);
  const chosen = () => {
    const picked = element.querySelector<HTMLInputElement>("input:checked");
    return picked ? Number(picked.value) : -1;
  };
  return { element, chosen };
}

/** One stop's card: question, then answer, then the way on. */
function card(app: App, index: number, leave: () => void) {
  const stop = STOPS[index]!;
  const { element, chosen } = quiz(stop);
  const answer = h("p", { class: "answer", role: "status" });
  const isLast = index === STOPS.length - 1;
  const reveal = button("Show me", show, { class: "primary" });
  const go = (to: number) => () => app.look({ stop: to });
  const back = button("Back", go(index - 1));
  back.hidden = index === 0;
  const next = button(isLast ? "Finish" : "Next", isLast ? leave : go(index + 1));
  next.className = "primary";
  next.hidden = true;

  function show() {
    const choice = chosen();
    if (choice < 0) {
      answer.textContent = "Choose first: a guess is enough.";
      return;
    }
    app.change(FRESH);
    app.change(stop.show);
    app.look({ step: -1, ...stop.look });
    goTo(stop.shown ?? stop.panel);
    const wrong = `Not quite: it is “${stop.choices[stop.right]}”. `;
    const verdict = choice === stop.right ? "Right. " : wrong;
    answer.replaceChildren(h("b", {}, verdict), stop.answer);
    reveal.hidden = true;
    next.hidden = false;
    next.focus({ preventScroll: true });
  }

  const place = h("span", {}, `Stop ${index + 1} of ${STOPS.length}`);
  const close = button("Close", leave, { "aria-label": "Close the tour" });
  const head = div("head", place, close);
  const title = h("h2", { id: "tour-title", tabindex: -1 }, stop.title);
  const ways = div("buttons", back, reveal, next);
  return { parts: [head, title, element, answer, ways], title };
}

export function setUpTour(app: App, start: HTMLElement) {
  const aside = h("aside", { class: "tour", "aria-labelledby": "tour-title" });
  aside.hidden = true;
  document.querySelector("main")!.before(aside);
  let shown = -1;

  function leave() {
    app.look({ stop: -1 });
    start.focus();
  }
  function open(index: number) {
    const { parts, title } = card(app, index, leave);
    aside.replaceChildren(...parts);
    const stop = STOPS[index]!;
    app.change(FRESH);
    app.look({ step: -1 });
    goTo(stop.panel);
    title.focus({ preventScroll: true });
  }
  effect(() => {
    const { stop } = app.state.value.view;
    if (stop === shown) return;
    shown = stop;
    const isOpen = stop >= 0 && stop < STOPS.length;
    aside.hidden = !isOpen;
    page.toggleAttribute("data-tour", isOpen);
    if (isOpen) queueMicrotask(() => open(stop));
    else goTo("");
  });
  start.addEventListener("click", () => app.look({ stop: 0 }));
  aside.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
  });
}
