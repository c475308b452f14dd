/** The table of a node's edges, a row each. */

import { button, figure, make } from "./dom";
import type { Linked } from "./linked";
import type { Direction, Figure, Partner } from "./protocol";

const LABELS: Record<string, string> = {
  weight: "weight",
  contribution: "contribution",
  values: "value",
  other: "other weight",
  difference: "difference",
};
const STATES = { both: "both", here: "here alone", there: "other alone" };

export class PartnerTable {
  readonly element = make("table");
  sort = "weight";
  descending = true;
  private peak = 0; // the largest weight seen in this table, by which bars are drawn
  private rows: Partner[] = [];
  private columns: string[] = [];
  private direction: Direction = "in";
  private selected = new Set<number>();

  constructor(
    private readonly linked: Linked,
    private readonly sorted: () => void,
  ) {
    linked.watch(["edges", "total"], () => void this.mark());
  }

  /** Begin with the edges of another node. */
  forget(): void {
    this.peak = 0;
  }

  draw(rows: Partner[], columns: string[], direction: Direction): void {
    Object.assign(this, { rows, direction });
    this.columns = columns.filter((column) => column in LABELS);
    const sizes = rows.map(({ weight }) => Math.abs(Number(weight))).filter(Number.isFinite);
    this.peak = Math.max(this.peak, ...sizes);
    void this.mark();
  }

  /** Show which edges are selected: of very many Python is asked, and they stay as they are. */
  private async mark(): Promise<void> {
    const { rows, linked } = this;
    const { edges, total } = linked.shown;
    if (total === edges.length) this.selected = new Set(edges);
    this.fill();
    if (total === edges.length) return;
    const selected = await linked.selected(rows.flatMap(({ edge }) => edge ?? []));
    if (rows !== this.rows || edges !== linked.shown.edges) return;
    this.selected = selected;
    this.fill();
  }

  private fill(): void {
    const heads = [
      make("th", { scope: "col" }, make("span", { class: "unseen" }, "selected")),
      this.header("name", this.direction === "in" ? "source" : "target", false),
      ...this.columns.map((column) => this.header(column, LABELS[column] ?? column, true)),
    ];
    if (this.linked.meta.compare) heads.push(make("th", { scope: "col" }, "edge in"));
    const focused = this.focused();
    this.element.replaceChildren(
      make("thead", {}, make("tr", {}, ...heads)),
      make("tbody", {}, ...this.rows.map((row) => this.row(row))),
    );
    if (!focused) return;
    const same = this.element.querySelector<HTMLElement>(`[data-key="${focused}"]`);
    (same ?? this.element.parentElement)?.focus();
  }

  /** What has the focus in the table, which is about to be made anew. */
  private focused(): string | undefined {
    const { activeElement } = this.element.getRootNode() as ShadowRoot | Document;
    if (!activeElement || !this.element.contains(activeElement)) return undefined;
    return (activeElement as HTMLElement).dataset.key;
  }

  private header(key: string, label: string, isNumber: boolean): HTMLTableCellElement {
    const isSorted = this.sort === key;
    const turn = () => {
      this.descending = isSorted ? !this.descending : isNumber;
      this.sort = key;
      this.sorted();
    };
    const arrow = make("span", { class: "arrow", "aria-hidden": "true" });
    if (isSorted) arrow.textContent = this.descending ? "↓" : "↑";
    const sorter = button(label, turn, { "data-key": `sort-${key}` });
    sorter.append(arrow);
    const order = isSorted ? (this.descending ? "descending" : "ascending") : null;
    return make("th", { scope: "col", "aria-sort": order, class: isNumber && "number" }, sorter);
  }

  private row(row: Partner): HTMLTableRowElement {
    const { selected } = this;
    const { edge, side, node, name } = row;
    const box = make("td", { class: "box" });
    if (edge !== null) {
      const label = `Select edge ${edge}, ${name}`;
      const attributes = { type: "checkbox", "aria-label": label, "data-key": `edge-${edge}` };
      const check = make("input", attributes);
      check.checked = selected.has(edge);
      check.addEventListener("change", () => {
        if (check.checked) selected.add(edge);
        else selected.delete(edge);
        this.linked.toggleEdge(edge, check.checked);
      });
      box.append(check);
    }
    const go = button(name, () => this.linked.chooseNode([side, node]), {
      class: "link",
      dir: "auto",
      title: name,
      "data-key": `node-${side}-${node}-${edge}`,
    });
    const cells = this.columns.map((column) => {
      const number = row[column as keyof Partner] as Figure;
      const cell = make("td", { class: "number" }, figure(number));
      if (column === "weight") cell.append(this.bar(number));
      return cell;
    });
    if (this.linked.meta.compare) cells.push(make("td", {}, STATES[row.state]));
    const isSelected = edge !== null && selected.has(edge);
    const title = make("th", { scope: "row" }, go);
    return make("tr", { class: isSelected && "selected" }, box, title, ...cells);
  }

  private bar(number: Figure): HTMLElement {
    const bar = make("span", { class: Number(number) < 0 ? "bar below" : "bar" });
    const part = this.peak > 0 ? Math.abs(Number(number)) / this.peak : 0;
    bar.style.width = `${Number.isFinite(part) ? Math.min(100 * part, 100) : 100}%`;
    return bar;
  }
}
