/** The page's side of the engine: asks the worker, and keeps what it answers. */

import { SaidError, type Drawing, type Engine, type ModelInfo } from "./types";
import type { Request } from "./worker";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onGrowth?: ((growth: unknown) => void) | undefined;
}

interface Answer {
  id: number;
  result?: unknown;
  growth?: unknown;
  error?: string;
  said?: boolean;
}

/** A function that asks the worker and promises its answer. */
function makeAsk(worker: Worker) {
  const waiting = new Map<number, Waiting>();
  let count = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    const one = waiting.get(data.id);
    if (!one) return;
    if ("growth" in data) return one.onGrowth?.(data.growth);
    waiting.delete(data.id);
    if (data.error === undefined) return one.resolve(data.result);
    one.reject(data.said ? new SaidError(data.error) : new Error(data.error));
  };
  worker.onerror = () => {
    const error = new SaidError("The engine did not start: reload the page.");
    for (const one of waiting.values()) one.reject(error);
    waiting.clear();
  };
  return function ask<T>(
    method: Request["method"],
    args: unknown[],
    onGrowth?: (growth: unknown) => void,
  ) {
    const id = ++count;
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, onGrowth });
      worker.postMessage({ id, method, args });
    });
  };
}

/** Starts the worker and loads the model; `onProgress` gets 0 to 1. */
export async function openEngine(
  base: string, // address of the folder of model.json
  onProgress: (share: number) => void,
): Promise<Engine> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const ask = makeAsk(worker);
  const grew = (share: unknown) => onProgress(share as number);
  const info = await ask<ModelInfo>("open", [base], grew);

  async function draw(order: unknown, onGrowth: (drawing: Drawing) => void) {
    const steps: Drawing["steps"] = [];
    const result = await ask<Drawing>("draw", [order], (growth) => {
      const grown = growth as Drawing;
      steps.push(...grown.steps);
      onGrowth({ ...grown, steps: steps.slice() });
    });
    const drawing = { ...result, steps };
    onGrowth(drawing);
    return drawing;
  }

  return {
    info,
    draw,
    tokenize: (text) => ask("tokenize", [text]),
    embed: (text) => ask("embed", [text]),
    noise: (order) => ask("noise", [order]),
    decode: (latents, scaled = true) => ask("decode", [latents, scaled]),
    cancel: () => void ask("cancel", []),
  };
}
