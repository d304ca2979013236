/** The panels, in the order of the page. */

import type { Panel } from "../app";
import { panel as attention } from "./attention";
import { panel as breaking } from "./break";
import { panel as compare } from "./compare";
import { panel as decoder } from "./decoder";
import { panel as embeddings } from "./embeddings";
import { panel as film } from "./film";
import { panel as guidance } from "./guidance";
import { panel as latents } from "./latents";
import { panel as map } from "./map";
import { panel as noise } from "./noise";
import { panel as prompt } from "./prompt";
import { panel as share } from "./share";
import { panel as tokens } from "./tokens";

export const PANELS: Panel[] = [
  [prompt, film, map],
  [tokens, embeddings, noise, attention, guidance, latents, decoder],
  [breaking, compare, share],
].flat();

/** A panel's id, and that of another by which one goes from step to step. */
export const withCompanion = (only: string) => [only, only === "film" ? "prompt" : "film"];
