/** The strongest paths from one node to another: a form, a drawing, and the same as a list. */

import { button, counted, figure, make, newId, sentence } from "./dom";
import type { Graph } from "./graph";
import type { Linked } from "./linked";
import type { Seen } from "./named";
import type { Answers, NodeId, Path, PathChoice } from "./protocol";
import { Search } from "./search";
import type { Source } from "./source";

const MOST = 100;
const NONE: PathChoice = { source: null, target: null, through: null, k: 5 };

export class PathsPane {
  readonly element: HTMLElement;
  private readonly fields: Record<"source" | "target" | "through", Search>;
  private readonly number = make("input", { type: "number", min: 1, max: MOST, value: NONE.k });
  private readonly said = make("p", { class: "said", role: "status" });
  private readonly list = make("ol", { class: "paths" });
  private readonly found = make("div", { class: "found", hidden: true });
  private turn = 0;

  constructor(
    private readonly source: Source,
    private readonly linked: Linked,
    private readonly seen: Seen,
    private readonly graph: Graph,
    private readonly say: (text: string) => void,
  ) {
    const { node_sides: sides } = linked.meta;
    this.fields = {
      source: this.field("From", sides.columns, "source"),
      target: this.field("To", sides.rows, "target"),
      through: this.field("Through (may be left out)", null, "through"),
    };
    this.element = this.layOut();
    this.number.addEventListener("change", () => this.choose({ k: this.k }));
    linked.watch(["path"], () => this.open());
    linked.watch(["edges", "total"], () => void this.mark());
    this.open();
  }

  private field(label: string, side: string | null, end: "source" | "target" | "through"): Search {
    const picked = (node: NodeId | null) => this.choose({ [end]: node });
    return new Search(this.source, this.seen, { label, side, picked }, this.say);
  }

  private layOut(): HTMLElement {
    const { fields, number, said, list, found, graph } = this;
    const heading = make("h3", { id: newId("paths") }, "Paths");
    const k = make("label", { class: "field few" }, make("span", {}, "How many"), number);
    const clear = button("Clear", () => this.linked.set({ path: NONE }));
    const ends = [fields.source.field, fields.through.field, fields.target.field];
    const form = make("div", { class: "form" }, ...ends, k, clear);
    found.append(graph.element, list);
    const hint = make(
      "p",
      { class: "hint" },
      "Choose where paths begin and end. Those with the largest products of |weight| are drawn.",
    );
    const attributes = { class: "pane paths-pane", "aria-labelledby": heading.id };
    return make("section", attributes, heading, form, said, found, hint);
  }

  private get k(): number {
    return Math.min(Math.max(Math.round(Number(this.number.value)) || 1, 1), MOST);
  }

  private choose(change: Partial<PathChoice>): void {
    this.linked.set({ path: { ...(this.linked.shown.path ?? NONE), k: this.k, ...change } });
  }

  /** Show what is chosen, and ask for its paths once both ends are there. */
  private open(): void {
    const path = this.linked.shown.path ?? NONE;
    void this.fields.source.show(path.source);
    void this.fields.target.show(path.target);
    void this.fields.through.show(path.through);
    this.number.value = String(path.k);
    if (path.source && path.target) void this.fetch(path, path.source, path.target);
    else {
      this.turn++;
      this.found.hidden = true;
      this.said.textContent = "";
    }
  }

  private async fetch(path: PathChoice, source: NodeId, target: NodeId): Promise<void> {
    const turn = ++this.turn;
    this.element.ariaBusy = "true";
    try {
      const { through, k } = path;
      const { answer } = await this.source.ask({ kind: "paths", source, target, through, k });
      if (turn === this.turn) this.draw(answer);
    } catch (error) {
      if (turn === this.turn) this.fail(sentence(error));
    }
    if (turn === this.turn) this.element.ariaBusy = "false";
  }

  private fail(text: string): void {
    this.said.textContent = text;
    this.found.hidden = true;
  }

  private draw(answer: Answers["paths"]): void {
    const { paths, nodes, links, said } = answer;
    if (paths.length === 0) return this.fail(said);
    for (const { side, node, name } of nodes) this.seen.add(side, node, name);
    const names = new Map(nodes.map(({ side, node, name }) => [`${side} ${node}`, name]));
    this.said.textContent = said || `${counted(paths.length, "path")}, the strongest first.`;
    this.list.replaceChildren(...paths.map((path) => this.item(path, names)));
    this.found.hidden = false;
    this.graph.draw(nodes, links);
    void this.mark();
  }

  private item(path: Path, names: Map<string, string>): HTMLLIElement {
    const parts = path.nodes.flatMap(([side, node], at) => {
      const name = make("span", { class: "name", dir: "auto" }, names.get(`${side} ${node}`) ?? "");
      const arrow = make("span", { class: "arrow" }, make("span", { class: "unseen" }, "to"));
      return at === 0 ? [name] : [arrow, name];
    });
    const about = { class: "worth", title: "product of the weights" };
    const choose = button("", () => this.choosePath(path), {
      class: "path",
      "data-edges": path.edges.join(" "),
    });
    choose.append(make("span", { class: "way" }, ...parts), make("span", about, worth(path)));
    return make("li", {}, choose);
  }

  private choosePath(path: Path): void {
    const { shown } = this.linked;
    this.linked.chooseEdges(path.edges);
    const isNew = ([side, node]: NodeId) =>
      !shown.nodes.some((one) => one[0] === side && one[1] === node);
    const nodes = shown.adding ? [...shown.nodes, ...path.nodes.filter(isNew)] : path.nodes;
    this.linked.set({ nodes });
  }

  /** Show which edges are selected, and the path of just these. */
  private async mark(): Promise<void> {
    const { edges } = this.linked.shown;
    const paths = [...this.list.querySelectorAll<HTMLElement>(".path")];
    const along = paths.map((one) => (one.dataset.edges ?? "").split(" ").map(Number));
    const selected = await this.linked.selected([...new Set(along.flat())]);
    if (edges !== this.linked.shown.edges) return;
    paths.forEach((one, at) => {
      const isSelected = along[at].every((edge) => selected.has(edge));
      one.setAttribute("aria-pressed", String(isSelected));
    });
    this.graph.mark(selected);
  }
}

const HELD = 1e-300; // below which numbers lose digits, and then are 0

/** The product of a path's weights, by its logarithm where no number can hold it. */
export function worth({ product, sign, log10 }: Pick<Path, "product" | "sign" | "log10">): string {
  const size = Number(product);
  const written = size > HELD && size < Infinity ? figure(size) : powerOf(log10);
  return sign < 0 ? `−${written}` : written;
}

/** A power of 10 with three digits that matter, whatever its size: "1.00e-399". */
function powerOf(log10: number): string {
  const whole = Math.floor(log10);
  const [digits, more] = (10 ** (log10 - whole)).toExponential(2).split("e");
  const power = whole + Number(more); // one more where digits were rounded to 10
  return `${digits}e${power < 0 ? "" : "+"}${power}`;
}
