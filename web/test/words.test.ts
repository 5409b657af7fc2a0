import { expect, test } from "vitest";
import german from "../src/words/de.json";
import english from "../src/words/en.json";

const holes = (text: string | undefined): string => [...(text ?? "").matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort().join();

test.each([["German", german]])("%s has every sentence, with the same holes", (_, words: Readonly<Record<string, string>>) => {
  expect(Object.keys(words)).toEqual(Object.keys(english));
  expect(Object.entries(english).filter(([key, text]) => holes(words[key]) !== holes(text))).toEqual([]);
});
