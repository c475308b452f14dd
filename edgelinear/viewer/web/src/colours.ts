/** Colours, light and dark: of the page, and of the numbers in the matrix. */

export interface Theme {
  ground: string;
  panel: string;
  ink: string;
  muted: string;
  line: string;
  wash: string;
  accent: string;
  bar: string;
  /** What is selected. */
  mark: string;
  below: string;
  above: string;
}

export const THEMES: Record<"light" | "dark", Theme> = {
  light: {
    ground: "#f6f7f8",
    panel: "#ffffff",
    ink: "#1a1f24",
    muted: "#56606a",
    line: "#d5dadf",
    wash: "#edf1f5",
    accent: "#1f5c99",
    bar: "#a9b4bf",
    mark: "#c2410c",
    below: "#0b4a8f",
    above: "#9a4500",
  },
  dark: {
    ground: "#101316",
    panel: "#171b1f",
    ink: "#e3e7ea",
    muted: "#9ba6b0",
    line: "#343b42",
    wash: "#222830",
    accent: "#86bdf0",
    bar: "#56616c",
    mark: "#ffa94d",
    below: "#7db8ff",
    above: "#ffb36b",
  },
};

// From few to many, away from the ground, so that one edge stands out from it already. Lightness
// alone tells them apart, and orange from blue, whatever colours an eye can see.
const MORE = {
  light: ["#5b9bd0", "#2f6fae", "#5b2a86", "#240833"],
  dark: ["#3c78a8", "#4fa8c8", "#a5d6b0", "#fff3b0"],
};
const BOTH_WAYS = {
  light: ["#0b4a8f", "#5f93c7", "#b4bac1", "#d08a4a", "#9a4500"],
  dark: ["#8cc4ff", "#4a7fb5", "#4f565e", "#b47a3f", "#ffb66e"],
};
const NO_NUMBER = "#d81b60";

/** How numbers become colours: by their logarithms, their roots, or roots on both sides of 0. */
export interface Scale {
  kind: "log" | "root" | "signed";
  most: number;
}

/** The scale of a value: counts have few small numbers and large ones of all sizes. */
export function scaleOf(value: string, signed: boolean, most: number): Scale {
  return { kind: signed ? "signed" : value === "count" ? "log" : "root", most };
}

/** Where a number stands on its scale, from 0 to 1. */
export function position({ kind, most }: Scale, number: number): number {
  if (!(most > 0)) return kind === "signed" ? 0.5 : 0;
  if (kind === "signed") {
    const root = Math.sqrt(Math.min(Math.abs(number) / most, 1));
    return 0.5 + (number < 0 ? -root : root) / 2;
  }
  if (kind === "log") return most > 1 ? Math.log(Math.max(number, 1)) / Math.log(most) : 1 / 3;
  return Math.sqrt(Math.min(Math.max(number / most, 0), 1));
}

/** Numbers to write along a scale, the least first. */
export function ticks({ kind, most }: Scale): number[] {
  if (!(most > 0)) return [0];
  const round = kind === "log" ? [] : roundNumbers(most, kind === "signed" ? 2 * APART : APART);
  if (kind === "root") return [0, ...round, most];
  if (kind === "signed") {
    return [-most, ...round.map((number) => -number).reverse(), 0, ...round, most];
  }
  const powers = [];
  for (let power = 1; power * 2 < most; power *= 10) powers.push(power);
  return [...powers, most];
}

const APART = 0.17; // of a scale, so that numbers along it do not touch

/** Round numbers below the largest that stand apart on a scale of roots, the least first. */
function roundNumbers(most: number, apart: number): number[] {
  const found: number[] = [];
  let last = 1;
  for (let power = Math.floor(Math.log10(most)); last > apart; power--) {
    for (const digit of [5, 2, 1]) {
      const number = Number(`${digit}e${power}`);
      const place = Math.sqrt(number / most);
      if (place > last - apart || place < apart) continue;
      found.unshift(number);
      last = place;
    }
    if (Math.sqrt(10 ** power / most) < apart) break;
  }
  return found;
}

const SHADES = 256;

/** The colours along a scale, as bytes of an image. */
export class Palette {
  readonly shades: Uint8ClampedArray;
  readonly name: string;

  constructor(
    readonly kind: Scale["kind"],
    readonly dark: boolean,
  ) {
    this.name = `${kind} ${dark}`;
    const stops = (kind === "signed" ? BOTH_WAYS : MORE)[dark ? "dark" : "light"].map(bytes);
    this.shades = new Uint8ClampedArray(4 * (SHADES + 1));
    for (let shade = 0; shade < SHADES; shade++) {
      const at = (shade / (SHADES - 1)) * (stops.length - 1);
      const from = Math.min(Math.floor(at), stops.length - 2);
      const mixed = stops[from].map((byte, i) => byte + (stops[from + 1][i] - byte) * (at - from));
      this.shades.set([...mixed, 255], 4 * shade);
    }
    this.shades.set([...bytes(NO_NUMBER), 255], 4 * SHADES);
  }

  /** Where the shade of a number begins among the bytes. */
  at(scale: Scale, number: number): number {
    if (!Number.isFinite(number)) return 4 * SHADES;
    return 4 * Math.round(position(scale, number) * (SHADES - 1));
  }

  /** The colour at a part of the scale, from 0 to 1. */
  shade(part: number): string {
    const at = 4 * Math.round(part * (SHADES - 1));
    return `rgb(${this.shades[at]} ${this.shades[at + 1]} ${this.shades[at + 2]})`;
  }

  /** The colour of writing that can be read on the shade of a number. */
  ink(scale: Scale, number: number): string {
    const at = this.at(scale, number);
    const shade = [...this.shades.slice(at, at + 3)];
    const light = contrast(shade, [255, 255, 255]);
    return light > contrast(shade, [0, 0, 0]) ? "#ffffff" : "#000000";
  }
}

export function bytes(hex: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** How much lighter one colour is than another, as WCAG 2 counts it: 1 to 21. */
export function contrast(one: number[], other: number[]): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(rgb: number[]): number {
  const [red, green, blue] = rgb.map((byte) => {
    const part = byte / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Whether what stands around the page is dark: notebooks say so on the body, else the system. */
export function surroundsAreDark(): boolean {
  const { body, documentElement: html } = document;
  const said = [
    body.dataset.jpThemeLight && (body.dataset.jpThemeLight === "true" ? "light" : "dark"),
    body.dataset.vscodeThemeKind,
    body.dataset.theme,
    html.dataset.theme,
    html.getAttribute("theme"),
    body.classList.contains("dark-theme") || body.classList.contains("dark") ? "dark" : undefined,
  ].find((word) => word && word !== "auto");
  if (said) return /dark|black/.test(said);
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call a function when what stands around the page may have turned dark or light. */
export function watchSurroundings(changed: () => void, signal: AbortSignal): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed, { signal });
  const seen = new MutationObserver(changed);
  seen.observe(document.body, { attributes: true });
  seen.observe(document.documentElement, { attributes: true });
  signal.addEventListener("abort", () => seen.disconnect());
}
