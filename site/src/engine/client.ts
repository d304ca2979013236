/** The page's side of the engine: asks the worker, and keeps what it answers. */

import { SaidError, type Drawing, type ModelInfo } from "./types";
import type { Order, Places, Tokens } from "./types";
import type { Answer, Request } from "./worker";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onGrowth?: ((growth: never) => void) | undefined;
}

/** A function that asks the worker and promises its answer. */
function makeAsk(worker: Worker) {
  const waiting: Waiting[] = []; // by the number of the question
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    const one = waiting[data.id];
    if (!one) return; // as when the four-step network comes, after all was opened
    if ("growth" in data) one.onGrowth?.(data.growth as never);
    else if (data.error === undefined) one.resolve(data.result);
    else one.reject(data.said ? new SaidError(data.error) : new Error(data.error));
    if (!("growth" in data)) delete waiting[data.id];
  };
  worker.onerror = () => {
    const error = new SaidError("The engine did not start: reload the page.");
    waiting.forEach((one) => one.reject(error));
  };
  return <T>(method: Request["method"], args: unknown[], grow?: (growth: never) => void) =>
    new Promise<T>((resolve, reject) => {
      const answered = resolve as Waiting["resolve"];
      const id = waiting.push({ resolve: answered, reject, onGrowth: grow });
      worker.postMessage({ id: id - 1, method, args });
    });
}

/** What the page can ask of the worker; each answer is a promise. */
export type Engine = Awaited<ReturnType<typeof openEngine>>;

/** Has the worker load the model; `onProgress` gets 0 to 1. */
export async function openEngine(
  worker: Worker, // of worker.ts
  places: Places,
  onProgress: (share: number) => void,
) {
  const ask = makeAsk(worker);
  const info = await ask<ModelInfo>("open", [places], onProgress);

  async function draw(order: Order, onGrowth: (drawing: Drawing) => void) {
    const steps: Drawing["steps"] = [];
    const result = await ask<Drawing>("draw", [order], (grown: Drawing) => {
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
    tokenize: (text: string) => ask<Tokens>("tokenize", [text]),
    embed: (text: string) => ask<Float32Array>("embed", [text]), // (tokens, embedSize)
    decode: (latents: Float32Array) => ask<ImageData>("decode", [latents]),
    cancel: () => void ask("cancel", []), // the drawings in progress and those that wait
  };
}
