/** The picture as it would be with nothing hidden, painted or broken. */

import { computed, effect, signal, type ReadonlySignal } from "@preact/signals-core";
import type { App } from "../app";
import type { Order } from "../engine/types";
import { DEFAULT_STATE } from "../state";

const { noiseCells, noisePatches, words, latentCells, broken } = DEFAULT_STATE;

export function withoutEdits(order: Order): Order {
  return { ...order, noiseCells, noisePatches, words, latentCells, broken };
}

const made = new WeakMap<App, ReadonlySignal<ImageData | null>>();

/** Taken from drawings that were seen already, or drawn once the edited one is done. */
export function plainPicture(app: App): ReadonlySignal<ImageData | null> {
  const known = made.get(app);
  if (known) return known;
  const pictures = signal(new Map<string, ImageData>());
  const keep = (key: string, picture: ImageData | null) => {
    if (picture) pictures.value = new Map(pictures.peek()).set(key, picture);
  };
  const keyOf = (order: Order) => JSON.stringify(withoutEdits(order));

  effect(() => {
    const drawing = app.drawing.value;
    if (!drawing?.done || app.busy.value) return;
    const key = keyOf(drawing.order);
    if (pictures.peek().has(key)) return;
    const isPlain = JSON.stringify(drawing.order) === key;
    if (isPlain) return keep(key, drawing.picture);
    app.engine
      .draw(withoutEdits(drawing.order), () => undefined)
      .then((plain) => keep(key, plain.picture))
      .catch(() => undefined); // another drawing took its place
  });
  const shown = computed(() => {
    const drawing = app.drawing.value;
    return drawing ? (pictures.value.get(keyOf(drawing.order)) ?? null) : null;
  });
  made.set(app, shown);
  return shown;
}
