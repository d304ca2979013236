/** The ten stops. What they promise was seen on the shipped weights. */

import { DEFAULT_STATE, type State, type View } from "../state";
import texts from "../texts.json";

export interface Stop {
  panel: string; // where it is asked
  shown?: string; // the panel that answers, if it is another
  title: string;
  question: string;
  choices: string[];
  right: number; // index in choices
  answer: string;
  show: Partial<State>; // set when it is answered
  look?: Partial<View>;
}

/** The state each stop starts from; what the reader did before does not disturb. */
const { view: _view, ...fresh } = DEFAULT_STATE;
export const FRESH: Partial<State> = fresh;
export const STOPS = texts.stops as unknown as Stop[];
