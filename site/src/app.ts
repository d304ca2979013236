/** What every panel gets: the state, the drawings made from it, and the engine. */

import { computed, signal, type ReadonlySignal } from "@preact/signals-core";
import type { Engine } from "./engine/client";
import { SaidError, type Drawing, type ModelInfo, type Step } from "./engine/types";
import { changed, orderOf, otherOrderOf, toLink, type State, type View } from "./state";
import type texts from "./texts.json";

const PAUSE = 200; // milliseconds without a change before a drawing starts

export interface App {
  info: ModelInfo;
  engine: Engine;
  state: ReadonlySignal<State>;
  drawing: ReadonlySignal<Drawing | null>;
  other: ReadonlySignal<Drawing | null>;
  step: ReadonlySignal<Step | null>;
  busy: ReadonlySignal<boolean>;
  awaited: ReadonlySignal<number>; // bytes that the drawing waits for
  said: ReadonlySignal<string>;
  change(patch: Partial<State>): void;
  look(patch: Partial<View>): void;
  draw(): void; // at once
  picture(latents: Float32Array): Promise<ImageData>;
  link(): string;
}

export interface Panel {
  id: keyof typeof texts.panels; // its words stand in texts.json
  always?: boolean; // it cannot be folded
  mount(element: HTMLElement, app: App): void;
}

/** The sentence for the reader in whatever was thrown. */
export function sentenceOf(error: unknown): string {
  if (error instanceof SaidError) return error.message;
  console.warn(error);
  return "Something went wrong here that should not: reload the page to go on.";
}

/** The step that the reader looks at, or the last one so far. */
function stepOf(drawing: Drawing | null, index: number): Step | null {
  const steps = drawing?.steps ?? [];
  return (index < 0 ? null : steps[index]) ?? steps.at(-1) ?? null;
}

/** Does a drawing wait for the network of four steps, which comes when it is needed? */
const isWaiting = (drawing: Drawing | null) =>
  drawing?.order.sampler === "lcm" && !drawing.steps.length;

/** What is lost of a prompt, as one sentence; "" if nothing is. */
function lossOf(drawing: Drawing | null): string {
  if (!drawing) return "";
  const { prompt } = drawing.order;
  const { cut } = drawing.tokens;
  const unknown = [...drawing.tokens.unknown, ...drawing.negativeTokens.unknown];
  if (!prompt.trim()) return "The prompt is empty, so this is a picture of anything.";
  if (unknown.length) {
    const few = unknown.slice(0, 5).join(", ");
    return `The model has never seen: ${few}${unknown.length > 5 ? " ..." : ""}.`;
  }
  if (cut.length) return `Too long: these words were cut: ${cut.slice(0, 8).join(" ")}.`;
  return "";
}

export function makeApp(engine: Engine, begin: State, first = ""): App {
  const state = signal(begin);
  const drawing = signal<Drawing | null>(null);
  const other = signal<Drawing | null>(null);
  const busy = signal(false);
  const complaint = signal(first);
  const step = computed(() => stepOf(drawing.value, state.value.view.step));
  const said = computed(() => complaint.value || lossOf(drawing.value));
  const pictures = new WeakMap<Float32Array, Promise<ImageData>>();
  let timer = 0;
  let turn = 0; // only the newest drawing is shown
  let hasFourStep = false; // its network has come
  const awaited = computed(() => {
    const waits = [drawing.value, other.value].some(isWaiting) && !hasFourStep;
    return waits ? (engine.info.files.unet_lcm?.bytes ?? 0) : 0;
  });

  async function drawNow() {
    window.clearTimeout(timer);
    const mine = ++turn;
    engine.cancel();
    busy.value = true;
    const show = (target: typeof drawing) => (grown: Drawing) => {
      if (grown.order.sampler === "lcm" && grown.steps.length) hasFourStep = true;
      if (mine === turn) target.value = grown;
    };
    try {
      const second = otherOrderOf(state.peek());
      await engine.draw(orderOf(state.peek()), show(drawing));
      if (second && mine === turn) await engine.draw(second, show(other));
      else if (mine === turn) other.value = null;
    } catch (error) {
      if (mine === turn) complaint.value = sentenceOf(error);
    }
    if (mine === turn) busy.value = false;
  }

  function drawSoon() {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => void drawNow(), PAUSE);
  }

  function change(patch: Partial<State>) {
    const before = state.peek();
    try {
      state.value = changed(before, patch);
      complaint.value = "";
    } catch (error) {
      complaint.value = sentenceOf(error);
      return;
    }
    const parts = (one: State) => JSON.stringify([orderOf(one), one.compare]);
    if (parts(before) !== parts(state.peek())) drawSoon();
  }

  function picture(latents: Float32Array) {
    const known = pictures.get(latents) ?? engine.decode(latents);
    pictures.set(latents, known);
    return known;
  }

  const look = (patch: Partial<View>) => {
    state.value = { ...state.peek(), view: { ...state.peek().view, ...patch } };
  };
  const link = () => {
    const text = toLink(state.value);
    const address = location.href.replace(/#.*/, "");
    return text ? `${address}#s=${text}` : address;
  };
  const draw = () => void drawNow();
  const shown = { state, drawing, other, step, busy, awaited, said };
  return { info: engine.info, engine, ...shown, change, look, draw, picture, link };
}
