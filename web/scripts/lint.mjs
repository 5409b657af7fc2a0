/** House rules for the editor's source that a compiler does not check. Prints every breach; exits 1 when there is one. */
import { readFileSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../src", import.meta.url));
const files = readdirSync(root, { recursive: true }).map((name) => join(root, name)).filter((name) => /\.(tsx?|css)$/.test(name));
const LONGEST = 205;
const FORBIDDEN = [
  [/dangerouslySetInnerHTML|\.innerHTML|document\.write|\beval\(/, "markup from text"],
  [/export default/, "a default export"],
  [/https?:\/\/(?!(www\.)?w3\.org)[a-z0-9.-]+\.[a-z]+/, "an address of another server"],
];

const breaches = files.flatMap((file) => {
  const name = relative(root, file).split(sep).join("/");
  const text = readFileSync(file, "utf8");
  const found = FORBIDDEN.filter(([pattern]) => pattern.test(text)).map(([, what]) => `${name}: ${what}`);
  const lines = text.split("\n").length - 1;
  if (lines > LONGEST && name !== "graph/api.ts") found.push(`${name}: ${lines} lines, ${LONGEST} at most`);
  if (name.startsWith("graph/"))
    for (const [, target] of text.matchAll(/from "([^"]+)"/g)) if (!target.startsWith("./")) found.push(`${name}: graph/ is pure, but imports ${target}`);
  return found;
});
console.log(breaches.join("\n") || `${files.length} files keep the rules`);
process.exit(breaches.length ? 1 : 0);
