/** What the engine takes and gives. Arrays lie as `channels rows columns`. */

export type Sampler = "ddim" | "euler" | "dpm++" | "lcm";

/** A rectangle of the noise that another seed gives. */
export interface Patch {
  seed: number;
  top: number;
  left: number;
  height: number;
  width: number;
}

/** A word that is hidden or replaced in the steps `from <= step < until`. */
export interface WordEdit {
  word: number; // index in Tokens.words
  action: "hide" | "swap";
  to: string; // for a swap; empty leaves the word out
  from: number;
  until: number;
}

export interface Broken {
  text: boolean; // the network reads an empty prompt
  time: boolean; // it is told the same timestep always
  skips: boolean; // nothing goes from the way down to the way up
  scaling: boolean; // the decoder gets latents as the UNet has them
  guidance: boolean; // the prompt alone, not amplified
  sign: boolean; // noise is added where it should be taken away
}

/** What one drawing is made from. */
export interface Order {
  prompt: string;
  negative: string;
  seed: number; // 0 to 2^32 - 1
  steps: number; // 1 to 50
  guidance: number; // 1: none
  sampler: Sampler;
  noiseCells: [number, number][]; // [index in (4, 8, 8), value]
  noisePatches: Patch[];
  words: WordEdit[];
  latentCells: [number, number][]; // painted over the last latents
  broken: Broken;
}

export interface Tokens {
  ids: number[]; // padded to info.maxTokens
  texts: string[]; // what each token says
  words: { text: string; positions: number[] }[]; // positions among the tokens
  unknown: string[]; // words that no caption of the training had
  cut: string[]; // words that did not fit
}

export interface Step {
  index: number;
  t: number;
  next: number | null; // the timestep that follows
  latents: Float32Array; // (4, 8, 8) what the network saw
  prev: Float32Array; // (4, 8, 8) after the step, as the network will see it
  noisePred: Float32Array; // (4, 8, 8) guided
  noisePredText: Float32Array; // with the prompt
  noisePredUncond: Float32Array | null; // without; null if not guided
  attention: Float32Array; // (tokens, 8, 8) mean over heads and the finest layers
  picture: ImageData; // of the guess, pred_original_sample
}

export interface Drawing {
  order: Order;
  tokens: Tokens;
  negativeTokens: Tokens;
  embeds: Float32Array; // (tokens, embedSize)
  uncondEmbeds: Float32Array;
  noise: Float32Array; // (4, 8, 8) as the loop begins
  steps: Step[];
  latents: Float32Array | null; // the last ones, painted; null until finished
  picture: ImageData | null;
  done: boolean;
  milliseconds: number;
}

/** model.json, as `sdlearn.browser` writes it. */
export interface ModelInfo {
  files: Record<string, { name: string; bytes: number }>;
  maxTokens: number;
  embedSize: number;
  channels: number;
  latentSize: number;
  pixels: number;
  scalingFactor: number;
  alphasCumprod: number[];
  finalAlphaCumprod: number;
  stepsOffset: number;
  steps: number; // what the model draws best with
  guidance: number;
  latentColors: number[][]; // (channels + 1, 3): latents to colors, the last row is added
  samplers: Sampler[];
  knownWords: string[];
  tokenizer: TokenizerData;
}

export interface TokenizerData {
  vocab: Record<string, number>;
  merges: [string, string][];
  bos: number;
  eos: number;
  pad: number;
}

/** Promises the address of one of the model's files; "" is nowhere. */
export type Find = (file: string) => Promise<string>;

/** Where the files of the model lie: the address of their folder, or who finds them. */
export type Places = string | Find;

/** An error whose message is a sentence for the reader. */
export class SaidError extends Error {}
