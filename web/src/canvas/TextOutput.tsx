import { useEffect, useState } from "react";
import { send, assetUrl } from "../server/api";

/** A text that a node made, shown as text whatever is in it. */
export function TextOutput({ asset }: { asset: string }) {
  const [text, setText] = useState("");
  useEffect(() => {
    void send(assetUrl(asset)).then((response) => response.text()).then((all) => setText(all.slice(0, 20_000)), () => undefined);
  }, [asset]);
  return <pre className="text-output nodrag nowheel" tabIndex={0}>{text}</pre>;
}
