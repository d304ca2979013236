/** The page's side of the engine: asks the worker, and keeps what it answers. */

import { SaidError, type Drawing, type ModelInfo } from "./types";
import type { Order, Places, Tokens } from "./types";
import type { Answer, Request, Wanted } from "./worker";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onGrowth?: ((growth: never) => void) | undefined;
}

/** A function that asks the worker and promises its answer; it tells where files lie. */
function makeAsk(worker: Worker, places: Places) {
  const waiting: Waiting[] = []; // by the number of the question
  const find = (file: string) =>
    typeof places === "string" ? places + file : places(file);
  const tell = async (file: string) => ask("found", [file, await find(file)]);
  worker.onmessage = ({ data }: MessageEvent<Answer | Wanted>) => {
    if ("wanted" in data) return void tell(data.wanted);
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
  function ask<T>(
    method: Request["method"],
    args: unknown[],
    onGrowth?: (growth: never) => void,
  ) {
    return new Promise<T>((resolve, reject) => {
      const answered = resolve as Waiting["resolve"];
      const id = waiting.push({ resolve: answered, reject, onGrowth });
      worker.postMessage({ id: id - 1, method, args });
    });
  }
  return ask;
}

/** What the page can ask of the worker; each answer is a promise. */
export type Engine = Awaited<ReturnType<typeof openEngine>>;

/** Has the worker load the model; `onProgress` gets 0 to 1. */
export async function openEngine(
  worker: Worker, // of worker.ts
  places: Places,
  onProgress: (share: number) => void,
) {
  const ask = makeAsk(worker, places);
  const info = await ask<ModelInfo>("open", [], onProgress);

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
