/** The words of the picture world in groups, and how a click puts one into a prompt. */

import texts from "../texts.json";

export type Group = keyof typeof texts.words;
export const GROUPS: Record<Group, string[]> = texts.words;

const holds = (text: string, words: string) => ` ${text} `.includes(` ${words} `);
const first = (text: string, group: string[]) =>
  group
    .filter((words) => holds(text, words))
    .sort((a, b) => ` ${text} `.indexOf(` ${a} `) - ` ${text} `.indexOf(` ${b} `))[0];

/** "a orange cat" to "an orange cat", and no double spaces. */
function tidy(text: string) {
  const single = text.replace(/\s+/g, " ").trim();
  return single.replace(/\b(a|an) (?=(\w))/g, (_all, _article, letter: string) =>
    "aeiou".includes(letter) ? "an " : "a ",
  );
}

function exchange(text: string, old: string, fresh: string) {
  return ` ${text} `.replace(` ${old} `, ` ${fresh} `).trim();
}

/** A color goes before the first thing, a relation before the place, others at the end. */
function insert(text: string, words: string, group: Group) {
  const noun = first(text, GROUPS.things);
  const place = first(text, GROUPS.places);
  if (group === "colors") {
    return noun ? exchange(text, noun, `${words} ${noun}`) : `${text} ${words}`;
  }
  if (group === "things") return `a ${words} ${text}`;
  if (group === "places") return `${text} ${words}`;
  const other = { riding: "a horse", eating: "a taco" }[words] ?? "a house";
  const core = place ? exchange(text, place, "") : text;
  return `${core} ${words} ${other} ${place ?? ""}`;
}

/** A click on a chip: the word takes the place of one of its kind, comes in, or goes. */
export function putWord(prompt: string, words: string, group: Group): string {
  const text = prompt.toLowerCase().replace(/\s+/g, " ").trim();
  if (holds(text, words)) {
    const removable = group === "colors" || group === "places";
    return removable ? tidy(exchange(text, words, "")) : text;
  }
  const old = first(text, GROUPS[group]);
  return tidy(old ? exchange(text, old, words) : insert(text, words, group));
}
