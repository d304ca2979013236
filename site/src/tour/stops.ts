/** The ten stops. What they promise was seen on the shipped weights. */

import { DEFAULT_STATE, type State, type View } from "../state";

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
export const FRESH: Partial<State> = {
  ...DEFAULT_STATE,
  prompt: "a red cat at the beach",
  seed: 3,
  steps: 10,
  guidance: 3,
};
delete FRESH.view;

const BLUE = { word: 1, action: "swap" as const, to: "blue", from: 6, until: 1000 };

export const STOPS: Stop[] = [
  {
    panel: "prompt",
    title: "Before the first step",
    question:
      "You want a red cat at the beach. What does the program have before its first step?",
    choices: ["An empty white sheet", "Random numbers", "A photo of a cat"],
    right: 1,
    answer:
      "256 random numbers. The little mosaic shows them as colors. Everything you see " +
      "later is found in them, step by step: press Play below.",
    show: {},
    look: { step: 0 },
  },
  {
    panel: "prompt",
    title: "Ten steps",
    question:
      "In each of ten steps the network removes a little noise, and guesses the picture. " +
      "When is it clear what stands where?",
    choices: ["In the first four steps", "About half-way", "In the last steps"],
    right: 0,
    answer:
      "By step 4 the cat, the sea and the sun have their places. The red comes later: " +
      "move the slider below, and watch the cat's color.",
    show: {},
    look: { step: 3 },
  },
  {
    panel: "noise",
    title: "Same words, other noise",
    question: "The same words again, but the noise of another seed. What will differ?",
    choices: [
      "Nothing: the words are the same",
      "Where the cat stands and how it is turned",
      "It may be another animal",
    ],
    right: 1,
    answer:
      "It is still a red cat at the beach, but not this one. The words do not say " +
      "where it stands or which way it looks, so the noise decides it.",
    shown: "compare",
    show: { compare: { seed: 2 } },
  },
  {
    panel: "tokens",
    title: "An unknown word",
    question:
      "The model has seen 20 kinds of things, and no unicorn. What becomes of " +
      "“a unicorn at the beach”?",
    choices: [
      "An error",
      "A beach with nothing on it",
      "Something else that it knows, at the beach",
    ],
    right: 2,
    answer:
      "A green elephant. The word was cut into pieces that stand in the list, and the " +
      "network made of them what it could. It never says no.",
    shown: "prompt",
    show: { prompt: "a unicorn at the beach" },
  },
  {
    panel: "attention",
    title: "Where is a word heard?",
    question: "Each place of the picture listens to some words more. Who hears “cat”?",
    choices: ["All places alike", "The places where the cat is", "The edges"],
    right: 1,
    answer:
      "The places of the cat. Nobody told the network where the cat is: it draws it " +
      "where it hears the word. Point at the other words too.",
    show: {},
    look: { word: 2 },
  },
  {
    panel: "attention",
    title: "Too late?",
    question:
      "After six of ten steps the red cat is clearly there. Only now we swap “red” " +
      "for “blue”. What comes out?",
    choices: ["A red cat: it is too late", "A purple mixture", "A blue cat"],
    right: 2,
    answer:
      "A blue cat, the same in all else. As long as there is noise left, the picture is " +
      "guessed anew. Move the step on with the slider: when is it too late?",
    show: { words: [BLUE] },
    look: { word: 1 },
  },
  {
    panel: "guidance",
    title: "Not listening",
    question: "Guidance multiplies what the words want. We set it to 0. What comes out?",
    choices: ["Grey", "Noise", "A good picture of something else"],
    right: 2,
    answer:
      "Without words it still draws what its world is made of, just not your cat. " +
      "Drawing and obeying are two things. Guidance adds the second.",
    shown: "prompt",
    show: { guidance: 0 },
  },
  {
    panel: "latents",
    title: "One number of many",
    question: "The network draws 256 numbers. We change a single one. What changes?",
    choices: ["One pixel", "A patch around it", "The whole picture"],
    right: 1,
    answer:
      "A blue patch in the sky. A second network, the decoder, turns these numbers into " +
      "pixels, and each number speaks for its neighborhood. Paint some more.",
    show: { latentCells: [[3 * 64 + 10, -3]] },
    look: { channel: 3 },
  },
  {
    panel: "break",
    title: "One part less",
    question:
      "The network has shortcuts from its way in to its way out, the skip connections. " +
      "We cut them. What comes out?",
    choices: ["A blurred cat", "A grey cat", "Nothing that one can recognise"],
    right: 2,
    answer:
      "Nothing. Through the shortcuts comes the fine detail of the noise, and who does " +
      "not see the noise cannot take it away. Put it back, and break something else.",
    show: { broken: { ...DEFAULT_STATE.broken, skips: true } },
  },
  {
    panel: "prompt",
    title: "Never seen",
    question:
      "In training it saw pandas, tacos, and others who eat, but never a panda that eats " +
      "a taco. Can it draw one?",
    choices: ["No: it only repeats", "Yes", "It draws only one of the two"],
    right: 1,
    answer:
      "It puts together what it has learned apart. Not always well: try an astronaut " +
      "riding a horse, or a green elephant at night. Now it is yours.",
    show: { prompt: "a panda eating a taco at the beach" },
  },
];
