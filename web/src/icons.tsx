import type { ComponentProps } from "react";

/** Small line drawings on a grid of 24, drawn for this editor. */
const PATHS = {
  down: "M6 9l6 6 6-6", right: "M9 6l6 6-6 6", left: "M15 6l-6 6 6 6", up: "M6 15l6-6 6 6", close: "M6 6l12 12M18 6L6 18",
  more: "M5 12h.01M12 12h.01M19 12h.01", plus: "M12 5v14M5 12h14", minus: "M5 12h14", search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13zM15.5 15.5L20 20",
  play: "M7 4.5v15l12-7.5z", stop: "M6.5 6.5h11v11h-11z", pause: "M8 5v14M16 5v14", undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12h-2", redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h2",
  dice: "M16 4h4v4M20 4l-6.5 6.5M4 20l6.5-6.5M16 20h4v-4M20 20l-5-5M4 4l5 5",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3", arrange: "M4 4h6v5H4zM14 9h6v5h-6zM4 15h6v5H4zM10 6.5h2v5h2M10 17.5h2v-5",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01", queue: "M4 6h16M4 12h16M4 18h10", outline: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  info: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17zM12 11v5M12 8h.01", warning: "M12 4l9 16H3zM12 10v4M12 17h.01", library: "M4 5h5v14H4zM9 5h5v14H9zM15 6l4-1 3 13-4 1z",
  save: "M5 4h11l3 3v13H5zM8 4v5h7V4M8 20v-6h8v6", download: "M12 4v11M7.5 10.5L12 15l4.5-4.5M5 20h14", upload: "M12 16V5M7.5 9.5L12 5l4.5 4.5M5 20h14",
  share: "M8.5 12a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM20.5 6a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM20.5 18a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM8.2 10.9l7.5-3.8M8.2 13.1l7.5 3.8",
  sun: "M12 8a4 4 0 1 1 0 8a4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5", moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  form: "M4 5h16v4H4zM4 13h10v3H4zM4 20h7", graph: "M4 4h6v5H4zM14 15h6v5h-6zM10 6.5h4a3 3 0 0 1 3 3V15", bypass: "M3 12h5M16 12h5M8 12a4 4 0 0 1 8 0", mute: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17zM6 6l12 12",
  color: "M12 3.5c-4.7 0-8.5 3.6-8.5 8.2c0 4.6 3.8 8.8 8.5 8.8c1.6 0 2-1.1 1.5-2.2c-.6-1.3.2-2.8 1.7-2.8h2c2 0 3.3-1.5 3.3-3.6c0-4.8-3.8-8.4-8.5-8.4zM8 10h.01M12 7.5h.01M16 10h.01",
  copy: "M8 8h12v12H8zM4 16V4h12", trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13", frame: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4", enter: "M10 5h9v14h-9M4 12h10M10.5 8.5L14 12l-3.5 3.5",
  swap: "M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4", brush: "M14 4l6 6-8 8-6-6zM6 12c-3 2-1 5-4 8c4 1 8 0 10-2", expand: "M4 10V4h6M20 14v6h-6M4 4l7 7M20 20l-7-7", fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  history: "M4 5v5h5M4.5 10A8 8 0 1 1 4 13M12 8v4l3 2", check: "M5 12.5l4.5 4.5L19 7.5", help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5h.01M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17z",
  snow: "M12 3v18M4.2 7.5l15.6 9M19.8 7.5l-15.6 9M9.5 4.5L12 7l2.5-2.5M9.5 19.5L12 17l2.5 2.5",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7", compare: "M12 3v18M4 6h5v12H4zM15 6h5v12h-5z", code: "M8 7l-5 5 5 5M16 7l5 5-5 5", grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

interface ButtonProps extends Omit<ComponentProps<"button">, "type" | "children"> {
  readonly icon: IconName;
  /** Said by screen readers; `title` shows it, too. */
  readonly label: string;
  readonly size?: number;
}

/** A button without a frame that shows nothing but an icon. */
export function IconButton({ icon, label, size = 16, className = "", ...rest }: ButtonProps) {
  return <button type="button" className={`ghost ${className}`} aria-label={label} {...rest}><Icon name={icon} size={size} /></button>;
}
