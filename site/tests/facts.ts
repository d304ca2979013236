/** What Python computed, and the model's own file. */

import { existsSync, readFileSync } from "node:fs";
import type { ModelInfo, Sampler } from "../src/engine/types";

export interface Facts {
  texts: {
    text: string;
    ids: number[];
    words: [string, number[]][];
    unknown: string[];
    cut: string[];
  }[];
  noises: Record<string, number[]>;
  walks: { sampler: Sampler; steps: number; timesteps: number[]; latents: number[] }[];
}

function read(path: string, remedy: string) {
  const url = new URL(path, import.meta.url);
  if (!existsSync(url)) throw new Error(`${path} is missing: run ${remedy}`);
  return JSON.parse(readFileSync(url, "utf-8"));
}

export const facts: Facts = read(
  "fixtures/facts.json",
  "`python -m tests.site_facts` in the project's folder",
);
export const info: ModelInfo = read("../public/model/model.json", "`python dev.py site`");

export function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));
}
