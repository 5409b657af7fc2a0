import { ViewportPortal } from "@xyflow/react";
import { useView } from "../state/view";

/** What a version had and the open workflow has not, where it stood. */
export function Ghosts() {
  const ghosts = useView((view) => view.ghosts);
  return (
    <ViewportPortal>
      {ghosts.map(({ id, title, position: [x, y] }) => <del key={id} className="ghost-card" style={{ transform: `translate(${x}px, ${y}px)` }}>{title}</del>)}
    </ViewportPortal>
  );
}
