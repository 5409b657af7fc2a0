/** Every visible sentence by key. English is built in; other languages are a JSON file each, loaded when chosen. */
import en from "./en.json";

export type Key = keyof typeof en;
type Words = Readonly<Record<string, string>>;

export const LANGUAGES: Readonly<Record<string, string>> = { en: "English", de: "Deutsch" };
const SETTING = "graphflow.language";
const loaders: Readonly<Record<string, () => Promise<{ default: Words }>>> = { de: () => import("./de.json") };

export const language = (): string => {
  const wish = localStorage.getItem(SETTING) ?? navigator.language.slice(0, 2);
  return wish in LANGUAGES ? wish : "en";
};

let words: Words = en;

/** Loads the chosen language; called once, before the first render. */
export async function loadWords(): Promise<void> {
  const load = loaders[language()];
  if (load) words = (await load()).default;
  document.documentElement.lang = language();
}

export function chooseLanguage(name: string): void {
  localStorage.setItem(SETTING, name);
  location.reload();
}

/** The sentence for a key, `{name}` replaced. */
export function t(key: Key, values: Readonly<Record<string, unknown>> = {}): string {
  const text = words[key] ?? en[key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The sentence for a key made at run time; null when there is none. */
export const maybe = (key: string, values?: Readonly<Record<string, unknown>>): string | null => (key in en ? t(key as Key, values) : null);

export const count = (number: number, one: Key, many: Key): string => t(number === 1 ? one : many, { count: number });

export const seconds = (value: number): string =>
  value < 10 ? `${value.toFixed(value < 1 ? 2 : 1)} s` : value < 90 ? `${Math.round(value)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;

export const clock = (time: number): string => new Date(time * 1000).toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit" });

export const when = (time: number): string => `${new Date(time * 1000).toLocaleDateString()} ${clock(time)}`;

export const bytes = (value: number): string =>
  value < 1e3 ? `${value} B` : value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
