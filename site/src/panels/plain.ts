/** The picture as it would be with nothing hidden, painted or broken. */

import { effect, signal } from "@preact/signals-core";
import type { App } from "../app";
import type { Order } from "../engine/types";
import { DEFAULT_STATE } from "../state";
import { canvas } from "./dom";
import { paint } from "./pixels";

const { noiseCells, noisePatches, words, latentCells, broken } = DEFAULT_STATE;
export const NO_EDITS = { noiseCells, noisePatches, words, latentCells, broken };
const withoutEdits = (order: Order): Order => ({ ...order, ...NO_EDITS });
const keyOf = (order: Order) => JSON.stringify(withoutEdits(order));

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

const pictures = signal<Record<string, ImageData>>({});

/** Keeps the picture of an order without edits: the one just drawn, or one drawn for it. */
function keepPlain(app: App) {
  const drawing = app.drawing.value;
  if (!drawing?.done || app.busy.value) return;
  const key = keyOf(drawing.order);
  const keep = ({ picture }: { picture: ImageData | null }) => {
    if (picture) pictures.value = { ...pictures.peek(), [key]: picture };
  };
  const giveUp = () => undefined; // another drawing took its place
  if (key in pictures.peek()) return;
  if (JSON.stringify(drawing.order) === key) keep(drawing);
  else app.engine.draw(withoutEdits(drawing.order), giveUp).then(keep, giveUp);
}

const watched = new WeakSet<App>();

/** Two canvases: the picture without edits, and the one as it is, as far as it is drawn. */
export function beforeAndAfter(app: App, without: string, with_: string) {
  const [before, after] = [canvas(without), canvas(with_)];
  if (!watched.has(app)) effect(() => keepPlain(app));
  watched.add(app);
  effect(() => {
    const drawing = app.drawing.value;
    const plain = drawing && pictures.value[keyOf(drawing.order)];
    paint(before, plain ?? null);
    paint(after, drawing?.picture ?? drawing?.steps.at(-1)?.picture ?? null);
  });
  return [before, after] as const;
}
