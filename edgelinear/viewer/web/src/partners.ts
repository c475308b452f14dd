/** A node's edges in and out: found by name, sorted, filtered, selected and downloaded. */

import { button, count, counted, later, make, newId, sentence } from "./dom";
import { isSame, type Linked } from "./linked";
import { wordFor, type Seen } from "./named";
import type { Answers, Direction, NodeId } from "./protocol";
import { Search } from "./search";
import type { Source } from "./source";
import { PartnerTable } from "./table";

const PAGE = 50;
const AT_ONCE = 1000; // rows that are asked for when all are selected
const MOST = 10_000; // edges that are selected from a table

export class PartnersPane {
  readonly element: HTMLElement;
  private readonly search: Search;
  private readonly title = make("p", { class: "title" });
  private readonly ways = make("div", { class: "tools" });
  private readonly filter = make("input", {
    type: "search",
    "aria-label": "Only partners with this in their name",
    placeholder: "filter by name",
  });
  private readonly table: PartnerTable;
  private readonly place = make("div", { class: "pages" });
  private readonly said = make("p", { class: "said", role: "status" });
  private readonly body = make("div", { class: "body", hidden: true });
  private direction: Direction = "in";
  private start = 0;
  private total = 0;
  private turn = 0;

  constructor(
    private readonly source: Source,
    private readonly linked: Linked,
    private readonly seen: Seen,
    private readonly say: (text: string) => void,
  ) {
    const picked = (node: NodeId | null) => node && linked.chooseNode(node);
    const placeholder = linked.meta.named ? "a name, or a part of it" : "a number";
    const wanted = { label: "Find a node", side: null, placeholder, picked };
    this.search = new Search(source, seen, wanted, say);
    this.table = new PartnerTable(linked, () => this.turnTo(0));
    this.element = this.layOut();
    this.filter.addEventListener(
      "input",
      later(150, () => this.turnTo(0)),
    );
    linked.watch(["node"], () => this.open());
    this.open();
  }

  private layOut(): HTMLElement {
    const heading = make("h3", { id: newId("partners") }, "Partners");
    const { title, ways, filter, table, place, said, body } = this;
    const csv = button("CSV", () => void this.download(), { title: "Download the whole table" });
    const all = button("Select all", () => void this.selectAll(), {
      title: "Select all edges of this table",
    });
    const tools = make("div", { class: "tools" }, filter, all, csv);
    const caption = { class: "rows", tabindex: 0, role: "group", "aria-label": "Rows" };
    body.append(title, ways, tools, make("div", caption, table.element), place);
    const hint = "Its edges in and out are listed here, with their weights.";
    const attributes = { class: "pane partners", "aria-labelledby": heading.id };
    const empty = make("p", { class: "hint" }, hint);
    return make("section", attributes, heading, this.search.field, said, body, empty);
  }

  /** Begin with the node that was chosen. */
  private open(): void {
    const { node } = this.linked.shown;
    this.body.hidden = node === null;
    void this.search.show(node);
    if (!node) return;
    this.start = 0;
    this.table.forget();
    this.filter.value = "";
    this.showWays(node);
    void this.fetchFirst(node);
  }

  /** List the edges of a node that was chosen just now. */
  private async fetchFirst(node: NodeId): Promise<void> {
    const turn = ++this.turn;
    const direction = await this.directionOf(node);
    if (turn !== this.turn) return;
    this.direction = direction;
    this.showWays(node);
    void this.fetch();
  }

  /** In or out as before, where a node has such edges. */
  private async directionOf([side]: NodeId): Promise<Direction> {
    if (side !== "node") return side === "in" ? "out" : "in";
    try {
      const { total } = (await this.ask(0, 0)).answer;
      if (total > 0) return this.direction;
    } catch {
      return this.direction; // of which it is said then why there are none
    }
    return this.direction === "in" ? "out" : "in";
  }

  /** What can be done from a node: the other direction, and paths. */
  private showWays(node: NodeId): void {
    const { sides } = this.linked.meta;
    const [first, last] = [sides[0], sides[sides.length - 1]];
    const turns = (["in", "out"] as const).map((direction) =>
      button(direction === "in" ? "Edges in" : "Edges out", () => this.face(direction), {
        "aria-pressed": String(direction === this.direction),
      }),
    );
    const ends = [
      node[0] === first && button("Paths from here", () => this.lead({ source: node })),
      node[0] === last && button("Paths to here", () => this.lead({ target: node })),
      first === last && button("Paths through", () => this.lead({ through: node })),
    ].filter((made) => made !== false);
    this.ways.replaceChildren(...(node[0] === "node" ? turns : []), ...ends);
  }

  private face(direction: Direction): void {
    this.direction = direction;
    this.table.forget();
    const { node } = this.linked.shown;
    if (node) this.showWays(node);
    this.turnTo(0);
  }

  private lead(end: Partial<Record<"source" | "target" | "through", NodeId>>): void {
    const before = this.linked.shown.path ?? { source: null, target: null, through: null, k: 5 };
    this.linked.set({ path: { ...before, ...end } });
    this.say("Set in the form of paths.");
  }

  private turnTo(start: number): void {
    this.start = start;
    void this.fetch();
  }

  private ask(start: number, stop: number) {
    const [side, node] = this.linked.shown.node ?? ["", 0];
    const { direction } = this;
    const { sort, descending } = this.table;
    const filter = this.filter.value.trim();
    return this.source.ask({
      kind: "partners",
      side,
      node,
      direction,
      sort,
      descending,
      start,
      stop,
      filter,
    });
  }

  private async fetch(): Promise<void> {
    const turn = ++this.turn;
    const { node } = this.linked.shown;
    if (!node) return;
    this.element.ariaBusy = "true";
    try {
      const { answer } = await this.ask(this.start, this.start + PAGE);
      const name = await this.seen.nameOf(node);
      if (turn === this.turn) this.take(answer, node, name);
    } catch (error) {
      if (turn === this.turn) this.said.textContent = sentence(error);
    }
    if (turn === this.turn) this.element.ariaBusy = "false";
  }

  private take(answer: Answers["partners"], [side]: NodeId, name: string): void {
    const { total, rows, columns } = answer;
    this.total = total;
    for (const row of rows) this.seen.add(row.side, row.node, row.name);
    this.said.textContent = "";
    const way = this.direction === "in" ? "in" : "out";
    const filtered = this.filter.value.trim() ? " with that in their names" : "";
    const called = make("strong", { dir: "auto" }, name);
    const what = side === "node" ? "" : `, ${wordFor(side)}`;
    const about = `${what}: ${counted(total, "edge")} ${way}${filtered}`;
    this.title.replaceChildren(called, about);
    this.table.element.setAttribute("aria-label", `Edges ${way} of ${name}`);
    this.table.draw(rows, columns, this.direction);
    this.turnPages();
  }

  private turnPages(): void {
    const { start, total } = this;
    const end = Math.min(start + PAGE, total);
    const back = button("Previous", () => this.turnTo(Math.max(0, start - PAGE)), {
      disabled: start === 0,
    });
    const on = button("Next", () => this.turnTo(start + PAGE), { disabled: end >= total });
    const where = total === 0 ? "none" : `${count(start + 1)} to ${count(end)} of ${count(total)}`;
    this.place.replaceChildren(make("span", {}, where), ...(total > PAGE ? [back, on] : []));
  }

  private async selectAll(): Promise<void> {
    const { node } = this.linked.shown;
    const edges: number[] = [];
    try {
      for (let start = 0; start < Math.min(this.total, MOST); start += AT_ONCE) {
        const { answer } = await this.ask(start, start + AT_ONCE);
        edges.push(...answer.rows.map(({ edge }) => edge).filter((edge) => edge !== null));
      }
      if (!isSame(node, this.linked.shown.node)) return;
      this.linked.chooseEdges(edges);
      this.say(`${counted(edges.length, "edge")} selected.`);
    } catch (error) {
      this.said.textContent = sentence(error);
    }
  }

  private async download(): Promise<void> {
    const [side, node] = this.linked.shown.node ?? ["", 0];
    try {
      const ask = { kind: "csv" as const, side, node, direction: this.direction };
      const { text, name } = (await this.source.ask(ask)).answer;
      const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } catch (error) {
      this.said.textContent = sentence(error);
    }
  }
}
