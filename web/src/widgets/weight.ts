/** Changes the weight of the words between `start` and `end` by `by`; the word at the cursor when nothing is selected. */
export function weighted(text: string, start: number, end: number, by: number): { text: string; start: number; end: number } {
  let [from, to] = [start, end];
  if (from === to) {
    while (from > 0 && /[^\s,()]/.test(text[from - 1] ?? "")) from -= 1;
    while (to < text.length && /[^\s,():]/.test(text[to] ?? "")) to += 1;
  }
  const words = text.slice(from, to);
  if (!words.trim()) return { text, start, end };
  const after = /^:([\d.]+)\)/.exec(text.slice(to));
  const isWeighted = text[from - 1] === "(" && after;
  const weight = Number(((isWeighted ? Number(after[1]) : 1) + by).toFixed(2));
  const [before, rest] = isWeighted ? [text.slice(0, from - 1), text.slice(to + after[0].length)] : [text.slice(0, from), text.slice(to)];
  const plain = Math.abs(weight - 1) < 0.001;
  const middle = plain ? words : `(${words}:${weight})`;
  const first = before.length + (plain ? 0 : 1);
  return { text: before + middle + rest, start: first, end: first + words.length };
}
