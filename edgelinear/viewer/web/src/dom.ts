/** Elements and numbers as text. Data go into the page as text alone. */

import type { Figure } from "./protocol";

type Attributes = Record<string, string | number | boolean | null>;

/** An element with attributes, where true is an empty one, and children: strings are text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

export function setAttribute(element: Element, name: string, value: Attributes[string]): void {
  if (value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

export function button(label: string, run: () => void, attributes: Attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", () => {
    if (made.ariaDisabled !== "true") run();
  });
  return made;
}

/** Have a button do something or nothing, and keep the focus. */
export function enable(button: HTMLButtonElement, isEnabled: boolean): void {
  button.ariaDisabled = isEnabled ? null : "true";
}

let made = 0;

/** An id that no other element of the page has. */
export function newId(of: string): string {
  return `edgelinear-${of}-${++made}`;
}

/** A list to choose from, in a label that names it. */
export function select(
  label: string,
  choices: { key: string; label: string }[],
  chosen: string,
  run: (key: string) => void,
): { field: HTMLLabelElement; input: HTMLSelectElement } {
  const options = choices.map((choice) => make("option", { value: choice.key }, choice.label));
  const input = make("select", {}, ...options);
  input.value = chosen;
  input.addEventListener("change", () => run(input.value));
  return { field: make("label", { class: "field" }, make("span", {}, label), input), input };
}

const WHOLE = new Intl.NumberFormat("en");

export function count(number: number): string {
  return WHOLE.format(number);
}

/** A number of things in words: "1 edge", "1,204 edges". */
export function counted(number: number, thing: string): string {
  return `${count(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** A number with three digits that matter, and a dash where there is none. */
export function figure(number: Figure): string {
  if (number === null) return "–";
  const size = Math.abs(Number(number));
  if (Number.isNaN(size)) return "NaN";
  const isLong = size > 0 && (size < 1e-3 || size >= 1e6) && Number.isFinite(size);
  const text = isLong ? size.toExponential(2) : THREE.format(size);
  return Number(number) < 0 ? `−${text}` : text;
}

const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A function that runs once calls have ceased for some milliseconds, unless it is called off. */
export function later(milliseconds: number, run: () => void): (() => void) & { cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const cancel = () => clearTimeout(timer);
  const call = () => {
    cancel();
    timer = setTimeout(run, milliseconds);
  };
  return Object.assign(call, { cancel });
}

/** What went wrong, as a sentence. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
