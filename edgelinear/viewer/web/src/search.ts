/** A field in which a node is found by its name: a combobox with a list of those that fit. */

import { count, counted, later, make, newId, sentence, setAttribute } from "./dom";
import { wordFor, type Seen } from "./named";
import type { Found, NodeId } from "./protocol";
import type { Source } from "./source";

const LISTED = 12;

export interface Wanted {
  label: string;
  /** The side that nodes must be of, or any. */
  side: string | null;
  placeholder?: string;
  picked: (node: NodeId | null) => void;
}

export class Search {
  readonly field: HTMLElement;
  private readonly input = make("input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
  });
  private readonly list = make("ul", { role: "listbox", id: newId("found"), hidden: true });
  private found: Found[] = [];
  private active = -1;
  private turn = 0; // of the last question: answers to earlier ones come too late
  private node: NodeId | null = null;
  private isHasty = false; // somebody takes the first before it is there
  private isStale = false; // what was found is of another text
  private readonly soon = later(120, () => void this.look());

  constructor(
    private readonly source: Source,
    private readonly seen: Seen,
    private readonly wanted: Wanted,
    private readonly say: (text: string) => void,
  ) {
    const { input, list } = this;
    input.id = newId("search");
    setAttribute(input, "placeholder", wanted.placeholder ?? null);
    input.setAttribute("aria-controls", list.id);
    list.setAttribute("aria-label", `${wanted.label}: what was found`);
    const label = make("label", { for: input.id }, wanted.label);
    this.field = make("div", { class: "field search" }, label, make("div", {}, input, list));
    input.addEventListener("input", () => this.change());
    input.addEventListener("keydown", (event) => this.press(event));
    input.addEventListener("blur", () => this.leave());
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // and keep the focus
  }

  /** Have a node as the one that was chosen, whatever the side that it is of. */
  async show(node: NodeId | null): Promise<void> {
    this.node = node;
    const name = node ? await this.seen.nameOf(node) : "";
    if (this.node === node) this.input.value = name;
  }

  private change(): void {
    this.turn++;
    this.isStale = true;
    this.isHasty = false;
    this.soon();
  }

  private async look(): Promise<void> {
    this.soon.cancel();
    const turn = ++this.turn;
    const text = this.input.value.trim();
    if (text === "") {
      this.isHasty = false;
      this.close();
      if (this.node) this.pick(null);
      return;
    }
    try {
      const ask = { kind: "search" as const, text, side: this.wanted.side, limit: LISTED };
      const { answer } = await this.source.ask(ask);
      if (turn !== this.turn) return;
      this.open(answer.found, answer.total);
    } catch (error) {
      if (turn === this.turn) this.open([], 0, sentence(error));
    }
  }

  private open(found: Found[], total: number, said?: string): void {
    this.found = found;
    this.isStale = false;
    for (const { side, node, name } of found) this.seen.add(side, node, name);
    const items = found.map((one, at) => this.option(one, at));
    const more = total > found.length ? `${counted(total, "name")} fit: type more of it.` : "";
    const none = said ?? (total === 0 ? "No name has this in it." : more);
    if (none) items.push(make("li", { class: "note", role: "presentation" }, none));
    this.list.replaceChildren(...items);
    this.list.hidden = false;
    this.input.ariaExpanded = "true";
    this.activate(found.length > 0 ? 0 : -1);
    this.say(none || `${counted(total, "name")} found.`);
    if (this.isHasty && found.length > 0) this.pick(0);
    this.isHasty = false;
  }

  private option(one: Found, at: number): HTMLLIElement {
    const degrees = [
      one.side === "out" ? "" : `${count(one.out)} out`,
      one.side === "in" ? "" : `${count(one.in)} in`,
    ].filter(Boolean);
    const about = make("span", { class: "about" }, `${wordFor(one.side)}, ${degrees.join(", ")}`);
    const name = make("span", { class: "name", dir: "auto", title: one.name }, one.name);
    const item = make("li", { role: "option", id: newId("option") }, name, about);
    item.addEventListener("click", () => this.pick(at));
    return item;
  }

  private activate(at: number): void {
    this.active = at;
    const options = [...this.list.querySelectorAll('[role="option"]')];
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    options[at]?.scrollIntoView({ block: "nearest" });
    setAttribute(this.input, "aria-activedescendant", options[at]?.id ?? null);
  }

  private pick(at: number | null): void {
    const one = at === null ? null : this.found[at];
    this.node = one ? [one.side, one.node] : null;
    this.input.value = one?.name ?? "";
    this.close();
    this.wanted.picked(this.node);
  }

  private press(event: KeyboardEvent): void {
    const isOpen = !this.list.hidden;
    const isReady = isOpen && !this.isStale;
    const last = this.found.length - 1;
    if (event.key === "ArrowDown" && !isOpen) void this.look();
    else if (event.key === "ArrowDown") this.activate(Math.min(this.active + 1, last));
    else if (event.key === "ArrowUp" && isOpen) this.activate(Math.max(this.active - 1, 0));
    else if (event.key === "Enter" && isReady && this.active >= 0) this.pick(this.active);
    else if (event.key === "Enter" && !isReady) {
      this.isHasty = true;
      void this.look();
    } else if (event.key === "Escape" && isOpen) this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private close(): void {
    this.turn++;
    this.soon.cancel();
    this.list.hidden = true;
    this.input.ariaExpanded = "false";
    setAttribute(this.input, "aria-activedescendant", null);
  }

  /** What was typed and not chosen does not stay as if it were. */
  private leave(): void {
    this.isHasty = false;
    this.close();
    void this.show(this.node);
  }
}
