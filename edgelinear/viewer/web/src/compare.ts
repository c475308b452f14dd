/** What the colours tell: which value and which order are shown, and the scale of their colours. */

import { position, scaleOf, ticks, type Scale } from "./colours";
import { count, counted, figure, make, newId, select } from "./dom";
import type { Linked } from "./linked";
import { paletteOf } from "./tiles";

const ORDERS: Record<string, string> = {
  given: "as given",
  level: "by level",
  degree: "by number of edges",
  cluster: "alike beside each other",
};
const STEPS = 96; // of the scale as it is drawn

export class ComparePane {
  readonly element: HTMLElement;
  private readonly bar = make("canvas", { width: STEPS, height: 1, "aria-hidden": "true" });
  private readonly marks = make("div", { class: "marks", "aria-hidden": "true" });
  private readonly said = make("p", { class: "legend" });
  private readonly value: HTMLSelectElement;
  private readonly order: HTMLSelectElement;

  constructor(private readonly linked: Linked) {
    const { meta, shown } = linked;
    const orders = meta.orders.map((key) => ({ key, label: ORDERS[key] ?? key }));
    const value = select("Colour shows", meta.values, shown.value, (key) =>
      linked.set({ value: key }),
    );
    const order = select("Rows and columns", orders, shown.order, (key) =>
      linked.set({ order: key }),
    );
    [this.value, this.order] = [value.input, order.input];
    const heading = make("h3", { id: newId("compare") }, meta.compare ? "Compare" : "Colours");
    const scale = make("div", { class: "scale" }, this.bar, this.marks);
    const right = make("div", { class: "told" }, scale, this.said);
    const attributes = { class: "pane compare", "aria-labelledby": heading.id };
    this.element = make("section", attributes, heading, value.field, order.field, right);
    linked.watch(["value", "order", "most", "dark"], () => this.draw());
    this.draw();
  }

  private draw(): void {
    const { meta, shown } = this.linked;
    this.value.value = shown.value;
    this.order.value = shown.order;
    const scale = scaleOf(shown.value, meta.signed.includes(shown.value), shown.most ?? 0);
    this.paint(scale);
    const isCount = shown.value === "count";
    const text = (number: number) => (isCount ? count(number) : figure(number));
    const label = (number: number) => {
      const mark = make("span", {}, text(number));
      mark.style.left = `${100 * position(scale, number)}%`;
      return mark;
    };
    this.marks.replaceChildren(...(shown.most === null ? [] : ticks(scale).map(label)));
    this.said.textContent = this.sentence(scale);
  }

  /** The scale, from end to end. */
  private paint(scale: Scale): void {
    const palette = paletteOf(scale.kind, this.linked.shown.dark);
    const context = this.bar.getContext("2d");
    if (!context) return;
    const isOne = scale.kind === "log" && scale.most <= 1; // and has one colour
    for (let step = 0; step < STEPS; step++) {
      context.fillStyle = palette.shade(isOne ? position(scale, 1) : step / (STEPS - 1));
      context.fillRect(step, 0, 1, 1);
    }
  }

  private sentence({ kind, most }: Scale): string {
    const { meta, shown } = this.linked;
    const largest = figure(most);
    if (meta.edges === 0) return "There are no edges.";
    if (shown.most === null) return "Loading.";
    if (most === 0) return "Nothing but 0 is shown.";
    if (kind === "signed") {
      return `From −${largest}, lower here than in the other, to ${largest}, higher here.`;
    }
    if (kind === "log") return `Up to ${counted(most, "edge")} in a cell, on a logarithmic scale.`;
    return `Up to ${largest}, on a square-root scale.`;
  }
}
