/** The three networks, run by onnxruntime-web in one thread. */

import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import * as ort from "onnxruntime-web/wasm";
import { SaidError, type Find, type ModelInfo } from "./types";

export type Loaded = (bytes: number) => void;

export type Networks = Awaited<ReturnType<typeof loadNetworks>>;

export interface UNetRow {
  sample: Float32Array; // (4, 8, 8)
  timestep: number;
  embeds: Float32Array; // (tokens, embedSize)
  mask: Float32Array; // (tokens) 0 keeps, -10000 hides
}

/** The bytes of one of the model's files. */
export async function fetchBytes(find: Find, name: string, loaded: Loaded) {
  const url = await find(name);
  const response = url ? await fetch(url).catch(() => null) : null;
  const isPage = response?.headers.get("content-type")?.includes("text/html");
  if (!response?.ok || !response.body || isPage) {
    throw new SaidError(`The file ${name} of the model is missing: build the site anew.`);
  }
  const chunks: Uint8Array[] = [];
  const reader = response.body.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    loaded(read.value.length);
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

async function unzipped(bytes: Uint8Array): Promise<ArrayBuffer> {
  if (bytes[0] !== 0x1f) return bytes.buffer as ArrayBuffer; // a server unzipped it
  const stream = new Blob([bytes as BlobPart]).stream();
  const plain = stream.pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).arrayBuffer();
}

/** One network at a time: the runtime has one thread and one memory. */
function oneAtATime() {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

function split(tensor: ort.Tensor): Float32Array[] {
  const data = tensor.data as Float32Array;
  const rows = tensor.dims[0]!;
  const size = data.length / rows;
  return Array.from({ length: rows }, (_, i) => data.slice(i * size, (i + 1) * size));
}

function tensor(rows: Float32Array[], ...shape: number[]) {
  const numbers = Float32Array.from(rows.flatMap((row) => [...row]));
  return new ort.Tensor("float32", numbers, [rows.length, ...shape]);
}

/** Load everything that the first picture needs. */
export async function loadNetworks(
  find: Find,
  info: ModelInfo,
  loaded: Loaded,
) {
  const exclusive = oneAtATime();
  const bytesOf = (part: string) => {
    const file = info.files[part];
    if (!file) throw new SaidError(`This model has no ${part}: pick another sampler.`);
    return fetchBytes(find, file.name, loaded);
  };

  const [wasm, text, unet, decoder] = await Promise.all(
    ["runtime", "text", "unet", "decoder"].map(bytesOf),
  );
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: new URL(glue, import.meta.url).href };
  ort.env.wasm.wasmBinary = await unzipped(wasm!);
  ort.env.logLevel = "error";
  const refused = (error: unknown) => {
    console.warn(error);
    throw new SaidError(
      "This browser does not run WebAssembly, which the networks need: try another " +
        "browser, or allow it for this page.",
    );
  };
  const session = (bytes: Uint8Array) =>
    ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }).catch(refused);
  const sessions = {
    text: await session(text!),
    unet: await session(unet!),
    decoder: await session(decoder!),
  };
  let fourStep: Promise<ort.InferenceSession> | null = null;
  const { channels, latentSize, maxTokens, embedSize } = info;

  return {
    /** Embeddings of a prompt: (tokens, embedSize). */
    async text(ids: number[]) {
      const data = BigInt64Array.from(ids, BigInt);
      const input = new ort.Tensor("int64", data, [1, ids.length]);
      const answer = await exclusive(() => sessions.text.run({ input_ids: input }));
      return split(answer.prompt_embeds!)[0]!;
    },
    /** One pass for each row: noisePred (4, 8, 8) and attention (tokens, 8, 8). */
    async unet(rows: UNetRow[], skip: number, four: boolean) {
      if (four) fourStep ??= bytesOf("unet_lcm").then(session);
      const network = four ? await fourStep! : sessions.unet;
      const feeds = {
        sample: tensor(rows.map((row) => row.sample), channels, latentSize, latentSize),
        timestep: tensor(rows.map((row) => Float32Array.of(row.timestep))),
        encoder_hidden_states: tensor(rows.map((row) => row.embeds), maxTokens, embedSize),
        mask: tensor(rows.map((row) => row.mask), maxTokens),
        skip: new ort.Tensor("float32", Float32Array.of(skip), [1]),
      };
      const answer = await exclusive(() => network.run(feeds));
      return { noisePred: split(answer.noise_pred!), attention: split(answer.attention!) };
    },
    /** Unscaled latents to pixels: (3, 64, 64), about -1 to 1. */
    async decoder(raw: Float32Array) {
      const latents = tensor([raw], channels, latentSize, latentSize);
      const answer = await exclusive(() => sessions.decoder.run({ latents }));
      return split(answer.image!)[0]!;
    },
  };
}
