import { assetUrl, send } from "../server/api";
import { useAnswer } from "../state/answer";

/** A text that a node made, shown as text whatever is in it. */
export function TextOutput({ asset }: { asset: string }) {
  const [text] = useAnswer(() => send(assetUrl(asset)).then((response) => response.text(), () => ""), [asset]);
  return <pre className="text-output nodrag nowheel" tabIndex={0}>{text?.slice(0, 20_000)}</pre>;
}
