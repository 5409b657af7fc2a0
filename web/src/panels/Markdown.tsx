import { markdown, type Inline } from "../graph/markdown";

const TAGS = { text: "span", code: "code", strong: "strong", em: "em" } as const;

function Line({ parts }: { parts: readonly Inline[] }) {
  return parts.map((part, index) => {
    if (part.kind === "link") return <a key={index} href={part.href} rel="noopener noreferrer" target="_blank" title={part.href}>{part.text}</a>;
    const Tag = TAGS[part.kind];
    return <Tag key={index}>{part.text}</Tag>;
  });
}

/** Text with a little Markdown, as elements; markup in it stays text. */
export function Markdown({ source }: { readonly source: string }) {
  return markdown(source).map((block, index) => {
    if (block.kind === "code") return <pre key={index} tabIndex={0}>{block.text}</pre>;
    if (block.kind === "list") return <ul key={index}>{block.items.map((item, i) => <li key={i}><Line parts={item} /></li>)}</ul>;
    return block.kind === "heading" ? <h3 key={index}><Line parts={block.inline} /></h3> : <p key={index}><Line parts={block.inline} /></p>;
  });
}
