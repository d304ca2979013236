/** CLIP's byte-pair tokenizer, as `sdlearn.text.tokenize` uses it. */

import type { TokenizerData, Tokens } from "./types";

export interface Tokenizer {
  tokenize(text: string): Tokens;
}

const END = "</w>";
const SPECIAL = /<\|startoftext\|>|<\|endoftext\|>/;
// CLIP's own rule for pieces, then the one of its bytes (GPT-2's).
const PIECES =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;
const BYTE_PIECES = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+/gu;
const WORDS = /<[\p{L}\p{N}_-]+>|[\p{L}\p{N}]+/gu;

/** A printable letter for each of the 256 bytes (Radford et al. 2019). */
function lettersOfBytes(): string[] {
  const isPlain = (b: number) =>
    (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPlain(byte) ? byte : next++),
  );
}

/** Letter by letter, as Rust does it: a sigma at the end of a word is a sigma. */
function lowered(text: string): string {
  const plain = text.normalize("NFC").replace(/\s+/gu, " ");
  return Array.from(plain, (letter) => letter.toLowerCase()).join("");
}

export function makeTokenizer(
  data: TokenizerData,
  maxTokens: number,
  knownWords: string[],
): Tokenizer {
  const letters = lettersOfBytes();
  const byteOf = new Map(letters.map((letter, byte) => [letter, byte]));
  const ranks = new Map(data.merges.map((pair, rank) => [pair.join(" "), rank]));
  const known = new Set(knownWords);
  const tokenOf = new Map(Object.entries(data.vocab).map(([token, id]) => [id, token]));
  const special = { "<|startoftext|>": data.bos, "<|endoftext|>": data.eos };

  /** The pair that is merged first, or -1. */
  function bestPair(parts: string[]): number {
    const rankAt = (i: number) => ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
    let best = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      if (rankAt(i) < (best < 0 ? Infinity : rankAt(best))) best = i;
    }
    return best;
  }

  function idsOfPiece(piece: string): number[] {
    const bytes = new TextEncoder().encode(piece);
    const parts = Array.from(bytes, (byte) => letters[byte]!);
    parts[parts.length - 1] += END;
    for (let i = bestPair(parts); i >= 0; i = bestPair(parts)) {
      parts.splice(i, 2, parts[i]! + parts[i + 1]!);
    }
    return parts.map((part) => data.vocab[part] ?? data.eos);
  }

  function idsOf(text: string): number[] {
    const ids: number[] = [];
    for (const part of text.split(new RegExp(`(${SPECIAL.source})`))) {
      if (part in special) ids.push(special[part as keyof typeof special]);
      else {
        const pieces = lowered(part).match(PIECES) ?? [];
        const byBytes = pieces.flatMap((piece) => piece.match(BYTE_PIECES) ?? []);
        ids.push(...byBytes.flatMap(idsOfPiece));
      }
    }
    return ids;
  }

  function textOf(ids: number[]): string {
    const joined = ids.map((id) => tokenOf.get(id) ?? "").join("");
    const plain = joined.replaceAll(END, " ");
    const bytes = Array.from(plain, (letter) => byteOf.get(letter) ?? 32);
    return new TextDecoder().decode(Uint8Array.from(bytes)).trim();
  }

  function wordsOf(ids: number[], first: number) {
    const words: Tokens["words"] = [];
    let positions: number[] = [];
    ids.forEach((id, i) => {
      positions.push(first + i);
      const ends = tokenOf.get(id)?.endsWith(END) || id === data.bos || id === data.eos;
      if (!ends && i < ids.length - 1) return;
      words.push({ text: textOf(positions.map((p) => ids[p - first]!)), positions });
      positions = [];
    });
    return words;
  }

  function unknownIn(text: string): string[] {
    if (!known.size) return [];
    const words = text.toLowerCase().match(WORDS) ?? [];
    return [...new Set(words)].filter((word) => !known.has(word));
  }

  function tokenize(text: string): Tokens {
    const all = idsOf(text);
    const kept = all.slice(0, maxTokens - 2);
    const overflow = all.slice(maxTokens - 2);
    const ids = [data.bos, ...kept, data.eos];
    while (ids.length < maxTokens) ids.push(data.pad);
    const end = ids.indexOf(data.eos); // someone may have typed it
    return {
      ids,
      texts: ids.map((id) => textOf([id])),
      words: wordsOf(ids.slice(1, end), 1),
      unknown: unknownIn(text),
      cut: wordsOf(overflow, 0).map((word) => word.text),
    };
  }

  return { tokenize };
}
