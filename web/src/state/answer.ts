import { useEffect, useState } from "react";

/** What the server answers to `ask`, null until then; asked again when `deps` change, and by the second of the pair. */
export function useAnswer<T>(ask: () => Promise<T>, deps: readonly unknown[]): [answer: T | null, again: () => void] {
  const [answer, setAnswer] = useState<T | null>(null);
  const again = () => void ask().then(setAnswer);
  useEffect(again, deps);
  return [answer, again];
}
