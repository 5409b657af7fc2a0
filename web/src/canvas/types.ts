/** How a wire type looks: colour, shape and letter, so that none of them alone carries the meaning. */
export type Shape = "circle" | "square" | "diamond" | "hexagon" | "triangle";

export interface Look {
  readonly hue: number;
  readonly shape: Shape;
  readonly letter: string;
}

const KNOWN: Readonly<Record<string, Look>> = {
  MODEL: { hue: 285, shape: "hexagon", letter: "M" },
  CLIP: { hue: 85, shape: "square", letter: "T" },
  VAE: { hue: 20, shape: "diamond", letter: "V" },
  CONDITIONING: { hue: 50, shape: "square", letter: "C" },
  LATENT: { hue: 330, shape: "circle", letter: "L" },
  IMAGE: { hue: 235, shape: "circle", letter: "I" },
  MASK: { hue: 150, shape: "circle", letter: "K" },
  INT: { hue: 190, shape: "triangle", letter: "#" },
  FLOAT: { hue: 175, shape: "triangle", letter: "." },
  STRING: { hue: 120, shape: "square", letter: "a" },
  BOOLEAN: { hue: 0, shape: "triangle", letter: "?" },
  COMBO: { hue: 100, shape: "square", letter: "=" },
};
const SHAPES: readonly Shape[] = ["circle", "square", "diamond", "hexagon", "triangle"];

/** Types without a look of their own get one from their name. */
export function lookOf(type: string): Look {
  const known = KNOWN[type.split("|")[0] ?? ""];
  if (known) return known;
  if (type === "*") return { hue: -1, shape: "circle", letter: "∗" };
  let hash = 7;
  for (const char of type) hash = (hash * 31 + char.charCodeAt(0)) % 100_003;
  return { hue: hash % 360, shape: SHAPES[hash % SHAPES.length] ?? "circle", letter: type[0]?.toUpperCase() ?? "?" };
}

/** CSS colour of a type, for the light and the dark theme. */
export const colorOf = (type: string): string => {
  const { hue } = lookOf(type);
  return hue < 0 ? "var(--muted)" : `light-dark(oklch(0.5 0.14 ${hue}), oklch(0.78 0.13 ${hue}))`;
};

export const PATHS: Readonly<Record<Shape, string>> = {
  circle: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13z",
  square: "M3.5 2h9a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5h-9a1.5 1.5 0 0 1-1.5-1.5v-9a1.5 1.5 0 0 1 1.5-1.5z",
  diamond: "M8 .8l7.2 7.2-7.2 7.2L.8 8z",
  hexagon: "M4.4 1.5h7.2L15.4 8l-3.8 6.5H4.4L.6 8z",
  triangle: "M2.2 1.6l12.4 6.4-12.4 6.4z",
};
