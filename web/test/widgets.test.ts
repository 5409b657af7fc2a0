import { expect, test } from "vitest";
import { clamp, readNumber, stepped } from "../src/widgets/number";
import { WHOLE, pinched } from "../src/widgets/pinch";
import { readPasted } from "../src/widgets/paste";
import { weighted } from "../src/widgets/weight";

test.each([
  ["12", true, 12], ["12.6", true, 13], ["0,5", false, 0.5], ["1e3", true, 1000], ["", true, null], ["abc", true, null], ["18446744073709551615", true, 18446744073709551615n],
])("typing %j into a field (whole: %s) reads %s", (text, whole, value) => expect(readNumber(text, { kind: "number", whole })).toBe(value));

test("values are held within the limits, and steps leave no dust", () => {
  const widget = { kind: "number" as const, min: 0, max: 1, step: 0.1 };
  expect(clamp(5, widget)).toBe(1);
  expect(stepped(0.2, 1, widget)).toBe(0.3);
  expect(stepped(1, 1, widget)).toBe(1);
});

test.each([
  ["a red apple", 2, 5, 0.05, "a (red:1.05) apple"],
  ["a (red:1.05) apple", 3, 6, 0.05, "a (red:1.1) apple"],
  ["a (red:1.05) apple", 3, 6, -0.05, "a red apple"],
  ["apple", 2, 2, 0.05, "(apple:1.05)"],
])("the weight in %j changes", (text, start, end, by, expected) => expect(weighted(text, start, end, by).text).toBe(expected));

test.each([
  ["off", { kind: "toggle" as const }, false], ["yes", { kind: "toggle" as const }, true], ["perhaps", { kind: "toggle" as const }, undefined],
  ["0,5", { kind: "slider" as const, min: 0, max: 1 }, 0.5], ["7", { kind: "slider" as const, min: 0, max: 1 }, 1], ["many", { kind: "number" as const }, undefined],
  ["18446744073709551615", { kind: "seed" as const, whole: true }, 18446744073709551615n],
  ["FF8000", { kind: "color" as const }, "#FF8000"], ["#ff8000", { kind: "color" as const, whole: true }, 0xff8000], ["orange", { kind: "color" as const }, undefined],
  [" heun ", { kind: "choice" as const }, "heun"], ["hein", { kind: "choice" as const }, undefined],
])("%s pasted onto a field %o", (text, widget, value) => expect(readPasted(text, widget, ["euler", "heun"])).toEqual(value));

test("two fingers zoom about what lies between them, and never show what lies beside the picture", () => {
  const frame = { x: 10, y: 20, width: 300, height: 200 };
  const apart = pinched(WHOLE, [110, 120], [130, 120], [150, 120], frame);
  expect(apart).toEqual({ scale: 2, x: -100, y: -100 });
  expect(pinched(apart, [110, 120], [150, 120], [150, 160], frame)).toEqual({ scale: 2 * Math.SQRT2, x: expect.closeTo(-191.1, 1), y: expect.closeTo(-162.8, 1) });
  expect(pinched(apart, [110, 120], [310, 120], [510, 120], frame).x).toBeCloseTo(-300);
  expect(pinched(apart, [110, 120], [150, 120], [111, 120], frame)).toEqual({ ...WHOLE, x: expect.closeTo(0, 9), y: expect.closeTo(0, 9) });
});
