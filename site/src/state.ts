/** All of the page's state in one plain object; a link holds it. */

import { SaidError, type Order } from "./engine/types";
import texts from "./texts.json";

export interface View {
  step: number; // -1: the last
  word: number; // -1: none
  channel: number;
  stop: number; // of the tour; -1: no tour
}

export interface State extends Order {
  compare: Partial<Order> | null; // what the second drawing does otherwise
  view: View;
}

export const DEFAULT_STATE: State = {
  prompt: "a red cat at the beach",
  negative: "",
  seed: 3,
  steps: 10, // the model's own settings
  guidance: 3,
  sampler: "ddim",
  noiseCells: [],
  noisePatches: [],
  words: [],
  latentCells: [],
  broken: {
    text: false,
    time: false,
    skips: false,
    scaling: false,
    guidance: false,
    sign: false,
  },
  compare: null,
  view: { step: -1, word: -1, channel: 0, stop: -1 },
};

const LONGEST_PROMPT = 2000; // characters
export const LIMITS = {
  seed: [0, 2 ** 32 - 1],
  steps: [1, 50],
  guidance: [-10, 20],
} as const;

/** The number, or an error in a sentence. */
function checkNumber(name: keyof typeof LIMITS, value: unknown, whole: boolean) {
  const [least, most] = LIMITS[name];
  const number = typeof value === "number" ? value : NaN;
  const fits = number >= least && number <= most;
  if (!fits || (whole && !Number.isInteger(number))) {
    const kind = whole ? "a whole number" : "a number";
    throw new SaidError(`${name} must be ${kind} from ${least} to ${most}.`);
  }
}

function checkText(name: string, value: unknown) {
  if (typeof value !== "string") throw new SaidError(`The ${name} must be a text.`);
  if (value.length > LONGEST_PROMPT) {
    const most = LONGEST_PROMPT.toLocaleString("en");
    throw new SaidError(
      `The ${name} is longer than ${most} characters: the model reads only the first ` +
        "30 tokens or so, so shorten it.",
    );
  }
}

/** Lists of what was done by hand, and the numbers that each entry must have. */
const LISTS = {
  noiseCells: ["0", "1"],
  latentCells: ["0", "1"],
  noisePatches: ["seed", "top", "left", "height", "width"],
  words: ["word", "from", "until"],
} as const;

function checkList(name: keyof typeof LISTS, list: unknown) {
  const fits = (entry: unknown) =>
    LISTS[name].every((key) => Number.isFinite(Object(entry)[key]));
  if (!Array.isArray(list) || !list.every(fits)) {
    throw new SaidError(`This link is damaged (${name}): ask for it once more.`);
  }
}

/** A SaidError unless a drawing can be made from it. */
export function checkOrder(order: Order): void {
  checkText("prompt", order.prompt);
  checkText("negative prompt", order.negative);
  checkNumber("seed", order.seed, true);
  checkNumber("steps", order.steps, true);
  checkNumber("guidance", order.guidance, false);
  if (!Object.hasOwn(texts.samplers, order.sampler)) {
    throw new SaidError("There is no sampler of this name: pick one of the list.");
  }
  for (const name of Object.keys(LISTS) as (keyof typeof LISTS)[]) {
    checkList(name, order[name]);
  }
}

/** `state` with what `patch` says; `broken` and `view` may be given in part. */
export function changed(state: State, patch: Partial<State>): State {
  const next = { ...state, ...patch };
  next.broken = { ...state.broken, ...patch.broken };
  next.view = { ...state.view, ...patch.view };
  checkOrder(next);
  if (next.compare) checkOrder({ ...orderOf(next), ...next.compare });
  return next;
}

/** The part that a drawing is made from. */
export function orderOf(state: State): Order {
  const { compare: _compare, view: _view, ...order } = state;
  return order;
}

/** The second drawing's order, or null. */
export function otherOrderOf(state: State): Order | null {
  if (!state.compare) return null;
  const order = orderOf(state);
  const broken = { ...order.broken, ...state.compare.broken };
  return { ...order, ...state.compare, broken };
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** What is not as in DEFAULT_STATE, as text for an address; "" if all is. */
export function toLink(state: State): string {
  const entries = Object.entries(state).filter(
    ([name, value]) => !same(value, DEFAULT_STATE[name as keyof State]),
  );
  if (!entries.length) return "";
  const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The state that a link holds; a damaged one is a SaidError. */
export function fromLink(text: string): State {
  if (!text) return DEFAULT_STATE;
  let patch: Partial<State>;
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
    patch = Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    throw new SaidError("This link is damaged: ask for it once more.");
  }
  const known = Object.entries(patch).filter(([name]) => name in DEFAULT_STATE);
  return changed(DEFAULT_STATE, Object.fromEntries(known));
}
