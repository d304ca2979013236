/** The worker's side of the engine: what arrives as a message is answered as one. */

import { decode, draw, type Model } from "./loop";
import { fetchBytes, loadNetworks } from "./model";
import { makeTokenizer } from "./tokenizer";
import { SaidError, type Find, type ModelInfo, type Order, type Sampler } from "./types";

export interface Request {
  id: number;
  method: keyof typeof methods;
  args: unknown[];
}

export interface Answer {
  id: number;
  result?: unknown;
  growth?: unknown; // more to come
  error?: string;
  said?: boolean; // the error is a sentence for the reader
}

/** A file of the model that is needed; the page calls `found`. */
export interface Wanted {
  wanted: string;
}

let model: Model;
let turn = 0; // what was asked before the last cancel is given up

/** Lets the messages in that wait. */
const pause = () =>
  new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });

const wanted = new Map<string, (address: string) => void>();

/** Asks the page where a file lies. */
const find: Find = (file) =>
  new Promise((resolve) => {
    wanted.set(file, resolve);
    postMessage({ wanted: file });
  });

async function readInfo(): Promise<ModelInfo> {
  const bytes = await fetchBytes(find, "model.json", () => undefined);
  try {
    const info = JSON.parse(new TextDecoder().decode(bytes)) as ModelInfo;
    const fourStep: Sampler[] = info.files.unet_lcm ? ["lcm"] : [];
    return { ...info, samplers: ["ddim", "euler", "dpm++", ...fourStep] };
  } catch {
    throw new SaidError("The file model.json is damaged: build the site anew.");
  }
}

async function open(id: number): Promise<ModelInfo> {
  const info = await readInfo();
  const files = Object.entries(info.files).filter(([part]) => part !== "unet_lcm");
  const total = files.reduce((sum, [, file]) => sum + file.bytes, 0);
  let bytes = 0;
  const networks = await loadNetworks(find, info, (more) => {
    bytes += more;
    postMessage({ id, growth: Math.min(1, bytes / total) });
  });
  const tokenizer = makeTokenizer(info.tokenizer, info.maxTokens, info.knownWords);
  model = { info, networks, tokenizer };
  return info;
}

async function drawFor(id: number, order: Order) {
  const mine = turn;
  const drawing = await draw(model, order, async (drawing) => {
    // Only what is new: the page keeps the steps that it got.
    postMessage({ id, growth: { ...drawing, steps: drawing.steps.slice(-1) } });
    await pause();
    if (mine !== turn) throw new SaidError("Cancelled.");
  });
  return { ...drawing, steps: [] };
}

const methods = {
  open,
  found: (_id: number, file: string, address: string) => wanted.get(file)?.(address),
  tokenize: (_id: number, text: string) => model.tokenizer.tokenize(text),
  embed: (_id: number, text: string) =>
    model.networks.text(model.tokenizer.tokenize(text).ids),
  decode: (_id: number, latents: Float32Array) => decode(model, latents),
  draw: drawFor,
  cancel: () => void turn++,
};

onmessage = async ({ data }: MessageEvent<Request>) => {
  const { id, method, args } = data;
  try {
    const call = methods[method] as (id: number, ...args: unknown[]) => unknown;
    postMessage({ id, result: await call(id, ...args) });
  } catch (error) {
    const said = error instanceof SaidError;
    postMessage({ id, error: said ? error.message : String(error), said });
  }
};
