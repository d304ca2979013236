import { expect, test } from "vitest";
import { makeTokenizer } from "../src/engine/tokenizer";
import { facts, info } from "./facts";

const tokenizer = makeTokenizer(info.tokenizer, info.maxTokens, info.knownWords);

test("500 captions and odd texts become the same tokens as in Python", () => {
  expect(facts.texts.length).toBeGreaterThan(500);
  for (const { text, ids } of facts.texts) {
    expect(tokenizer.tokenize(text).ids, text).toEqual(ids);
  }
});

test("words, unknown words and what is cut are as in Python", () => {
  for (const { text, words, unknown, cut } of facts.texts) {
    const tokens = tokenizer.tokenize(text);
    const found = tokens.words.map((word) => [word.text, word.positions]);
    expect(found, text).toEqual(words);
    expect(tokens.unknown, text).toEqual(unknown);
    expect(tokens.cut, text).toEqual(cut);
  }
});
