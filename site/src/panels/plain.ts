/** The picture as it would be with nothing hidden, painted or broken. */

import { computed, effect, signal, type ReadonlySignal } from "@preact/signals-core";
import type { App } from "../app";
import type { Order } from "../engine/types";
import { DEFAULT_STATE } from "../state";

const { noiseCells, noisePatches, words, latentCells, broken } = DEFAULT_STATE;
export const NO_EDITS = { noiseCells, noisePatches, words, latentCells, broken };
const withoutEdits = (order: Order): Order => ({ ...order, ...NO_EDITS });

/** What somebody has changed by hand, in words. */
export function editsOf(order: Order): string[] {
  const edits: [string, boolean][] = [
    ["painted or exchanged noise", order.noiseCells.length + order.noisePatches.length > 0],
    ["a word hidden or swapped", order.words.length > 0],
    ["painted latents", order.latentCells.length > 0],
    ["a part taken out", Object.values(order.broken).some(Boolean)],
  ];
  return edits.filter(([, isThere]) => isThere).map(([name]) => name);
}

/** The picture as far as it is drawn. */
export function grownPicture(app: App): ImageData | null {
  const drawing = app.drawing.value;
  return drawing?.picture ?? drawing?.steps.at(-1)?.picture ?? null;
}

const made = new WeakMap<App, ReadonlySignal<ImageData | null>>();

function makePlainPicture(app: App) {
  const pictures = signal(new Map<string, ImageData>());
  const keyOf = (order: Order) => JSON.stringify(withoutEdits(order));
  const keep = (key: string, picture: ImageData | null) => {
    if (picture) pictures.value = new Map(pictures.peek()).set(key, picture);
  };
  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing?.done || app.busy.value) return;
    const key = keyOf(drawing.order);
    if (pictures.peek().has(key)) return;
    if (JSON.stringify(drawing.order) === key) return keep(key, drawing.picture);
    const plain = app.engine.draw(withoutEdits(drawing.order), () => undefined);
    const giveUp = () => undefined; // another drawing took its place
    plain.then(({ picture }) => keep(key, picture), giveUp);
  });
  return computed(() => {
    const order = app.drawing.value?.order;
    return order ? (pictures.value.get(keyOf(order)) ?? null) : null;
  });
}

/** Taken from drawings that were seen already, or drawn once the edited one is done. */
export function plainPicture(app: App): ReadonlySignal<ImageData | null> {
  const plain = made.get(app) ?? makePlainPicture(app);
  made.set(app, plain);
  return plain;
}
