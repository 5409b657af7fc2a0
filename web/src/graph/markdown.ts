/** A small part of Markdown as a tree: paragraphs, lists, headings, code, emphasis, links. No HTML. */
export type Inline =
  | { readonly kind: "text" | "code" | "strong" | "em"; readonly text: string }
  | { readonly kind: "link"; readonly text: string; readonly href: string };
export type Block =
  | { readonly kind: "paragraph" | "heading"; readonly inline: readonly Inline[] }
  | { readonly kind: "list"; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: "code"; readonly text: string };

const PATTERN = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;

export function inline(source: string): Inline[] {
  const parts: Inline[] = [];
  let end = 0;
  for (const match of source.matchAll(PATTERN)) {
    if (match.index > end) parts.push({ kind: "text", text: source.slice(end, match.index) });
    end = match.index + match[0].length;
    const [, code, strong, em, label, href] = match;
    if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (strong !== undefined) parts.push({ kind: "strong", text: strong });
    else if (em !== undefined) parts.push({ kind: "em", text: em });
    else parts.push({ kind: "link", text: label ?? "", href: href ?? "" });
  }
  if (end < source.length) parts.push({ kind: "text", text: source.slice(end) });
  return parts;
}

export function markdown(source: string): Block[] {
  const parts = source.replaceAll("\r\n", "\n").split(/```[^\n]*\n([\s\S]*?)```/);
  return parts.flatMap((part, index): Block[] => {
    if (index % 2) return [{ kind: "code", text: part.trimEnd() }];
    return part.split(/\n\s*\n/).filter((text) => text.trim()).map(block);
  });
}

function block(source: string): Block {
  const lines = source.trim().split("\n");
  if (lines.every((line) => /^\s*([-*]|\d+\.)\s/.test(line) || /^\s{2,}\S/.test(line))) {
    const items = source.trim().split(/\n(?=\s*(?:[-*]|\d+\.)\s)/);
    return { kind: "list", items: items.map((item) => inline(item.replace(/^\s*([-*]|\d+\.)\s+/, "").replace(/\s*\n\s*/g, " "))) };
  }
  const heading = /^#{1,6}\s+(.*)$/.exec(source.trim());
  if (heading) return { kind: "heading", inline: inline(heading[1] ?? "") };
  return { kind: "paragraph", inline: inline(lines.map((line) => line.trim()).join(" ")) };
}
