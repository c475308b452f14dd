import assert from "node:assert/strict";
import test from "node:test";
import { bytes, contrast, Palette, position, scaleOf, THEMES, ticks } from "../src/colours";

const themes = Object.entries(THEMES);
const dark = (name: string) => name === "dark";
const shade = (palette: Palette, at: number) => [...palette.shades.slice(4 * at, 4 * at + 3)];

for (const [name, theme] of themes) {
  for (const ink of ["ink", "muted", "accent", "mark"] as const) {
    for (const ground of ["ground", "panel", "wash"] as const) {
      test(`${ink} can be read on the ${ground} that is ${name}`, () => {
        assert.ok(contrast(bytes(theme[ink]), bytes(theme[ground])) >= 4.5);
      });
    }
  }

  test(`one edge stands out where the page is ${name}`, () => {
    const palette = new Palette("log", dark(name));
    assert.ok(contrast(shade(palette, 0), bytes(theme.panel)) >= 2.9);
  });

  test(`more is always further from the ground that is ${name}`, () => {
    const palette = new Palette("root", dark(name));
    const ground = bytes(theme.panel);
    const seen = Array.from({ length: 256 }, (_, at) => contrast(shade(palette, at), ground));
    assert.ok(seen.every((one, at) => at === 0 || one >= seen[at - 1] - 0.05));
  });

  test(`differences are as far from 0 on both sides where the page is ${name}`, () => {
    const palette = new Palette("signed", dark(name));
    const ground = bytes(theme.panel);
    const [low, middle, high] = [0, 128, 255].map((at) => contrast(shade(palette, at), ground));
    assert.ok(low > 1.5 * middle && high > 1.5 * middle);
  });
}

test("what is written on a cell can be read", () => {
  for (const kind of ["log", "signed"] as const) {
    for (const isDark of [false, true]) {
      const palette = new Palette(kind, isDark);
      const scale = { kind: kind === "log" ? ("root" as const) : kind, most: 1 };
      for (let number = kind === "log" ? 0 : -1; number <= 1; number += 0.05) {
        const at = palette.at(scale, number);
        const ink = palette.ink(scale, number) === "#ffffff" ? 255 : 0;
        assert.ok(contrast([...palette.shades.slice(at, at + 3)], [ink, ink, ink]) >= 4.5);
      }
    }
  }
});

test("numbers have their places on their scales", () => {
  assert.equal(position({ kind: "log", most: 100 }, 10), 0.5);
  assert.equal(position({ kind: "root", most: 4 }, 1), 0.5);
  assert.equal(position({ kind: "signed", most: 4 }, -1), 0.25);
  assert.equal(position({ kind: "signed", most: 4 }, 0), 0.5);
  assert.equal(position({ kind: "root", most: 0 }, 0), 0);
});

test("what is no finite number has a colour of its own", () => {
  const palette = new Palette("root", false);
  for (const most of [0, 1]) {
    for (const odd of [Number.NaN, Infinity, -Infinity]) {
      assert.equal(palette.at({ kind: "root", most }, odd), 4 * 256);
    }
  }
});

test("ticks go from end to end", () => {
  assert.deepEqual(ticks(scaleOf("count", false, 350)), [1, 10, 100, 350]);
  assert.deepEqual(ticks(scaleOf("count", false, 1)), [1]);
  assert.deepEqual(ticks(scaleOf("weight", false, 0.999)), [0, 0.05, 0.2, 0.5, 0.999]);
  assert.deepEqual(ticks(scaleOf("difference", true, 4)), [-4, -1, 0, 1, 4]);
  assert.deepEqual(ticks(scaleOf("weight", false, 0)), [0]);
});
