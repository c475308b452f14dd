/** Answers from all edges of a small wiring, in a page that was saved: as Python answers. */

import { Binned } from "./binned";
import type {
  Answers,
  AnyAsk,
  Asks,
  Figure,
  Found,
  Kind,
  Meta,
  NodeId,
  Partner,
  Reply,
  SavedEdges,
} from "./protocol";
import { csvOf, fileName, orderedRows } from "./rows";

export class Whole {
  private readonly binned: Binned;

  constructor(
    private readonly edges: SavedEdges,
    private readonly meta: Meta,
  ) {
    this.binned = new Binned(edges, meta);
  }

  /** The answer, or null to what the edges do not tell. */
  answer(ask: AnyAsk): Reply<Kind> | null {
    if (ask.kind === "tile") return this.binned.tile(ask);
    const answer = this.told(ask);
    return answer && { answer, buffers: [] };
  }

  private told(ask: AnyAsk): Answers[Kind] | null {
    switch (ask.kind) {
      case "names":
        return this.names(ask);
      case "search":
        return this.search(ask);
      case "partners":
        return this.partners(ask);
      case "csv":
        return this.csv(ask);
      case "window":
        return this.window(ask);
      case "edge":
        return { text: this.edges.texts[ask.edge] };
      case "places":
        return this.places(ask);
      default:
        return null;
    }
  }

  private isHere(edge: number): boolean {
    return edge < this.meta.edges;
  }

  private number(field: string, edge: number): Figure {
    return this.edges.fields[field]?.[edge] ?? null;
  }

  private name(side: string, node: number): string {
    return this.edges.names[side]?.[node] ?? String(node);
  }

  private names(ask: Asks["names"]): Answers["names"] {
    let nodes: number[];
    if ("nodes" in ask) nodes = ask.nodes;
    else nodes = this.binned.order(ask.order)[ask.axis].slice(ask.start, ask.stop);
    return { nodes, names: nodes.map((node) => this.name(ask.side, node)) };
  }

  private size(side: string): number {
    return side === this.meta.node_sides.rows ? this.meta.rows : this.meta.columns;
  }

  private search({ text, side, limit }: Asks["search"]): Answers["search"] {
    const sides = side === null ? this.meta.sides : [side];
    const sought = text.toLowerCase();
    const found: (Found & { worse: number })[] = [];
    for (const one of sides) {
      for (let node = 0; node < this.size(one); node++) {
        const name = this.name(one, node);
        const low = name.toLowerCase();
        // Numbers are found whole: there is one of each.
        if (!(this.edges.names[one] ? low.includes(sought) : low === sought)) continue;
        const worse = low === sought ? 0 : low.startsWith(sought) ? 1 : 2;
        found.push({ worse, side: one, node, name, in: 0, out: 0 });
      }
    }
    found.sort((a, b) => {
      const [one, other] = [a.name.toLowerCase(), b.name.toLowerCase()];
      return a.worse - b.worse || (one < other ? -1 : one > other ? 1 : a.node - b.node);
    });
    const listed = found.slice(0, limit).map(({ worse: _, ...one }) => one);
    for (const one of listed) {
      one.in = this.ends([one.side, one.node], "in").filter((edge) => this.isHere(edge)).length;
      one.out = this.ends([one.side, one.node], "out").filter((edge) => this.isHere(edge)).length;
    }
    return { found: listed, total: found.length };
  }

  /** The edges into a node, or out of it. */
  private ends([side, node]: NodeId, direction: "in" | "out"): number[] {
    const { rows, columns } = this.meta.node_sides;
    if (side !== (direction === "in" ? rows : columns)) return [];
    const ends = direction === "in" ? this.edges.dst : this.edges.src;
    return ends.flatMap((end, edge) => (end === node ? [edge] : []));
  }

  private table({ side, node, direction }: Asks["csv"]): Partner[] {
    const { rows, columns } = this.meta.node_sides;
    const [other, far] = direction === "in" ? [columns, this.edges.src] : [rows, this.edges.dst];
    return this.ends([side, node], direction).map((edge) => ({
      edge: this.isHere(edge) ? edge : null,
      side: other,
      node: far[edge],
      name: this.name(other, far[edge]),
      weight: this.number("weight", edge),
      contribution: this.number("contribution", edge),
      values: this.number("values", edge),
      other: this.number("other", edge),
      difference: this.number("difference", edge),
      state: this.edges.state?.[edge] ?? "here",
    }));
  }

  private partners(ask: Asks["partners"]): Answers["partners"] {
    const rows = orderedRows(this.table(ask), ask);
    const columns = ["name", ...Object.keys(this.edges.fields)];
    return { total: rows.length, rows: rows.slice(ask.start, ask.stop), columns };
  }

  private csv(ask: Asks["csv"]): Answers["csv"] {
    const how = { sort: "weight", descending: true, filter: "" };
    const rows = orderedRows(this.table(ask), how);
    const { fields, single } = this.edges;
    const text = csvOf(rows, Object.keys(fields), single, this.meta.compare);
    return { text, name: fileName(this.name(ask.side, ask.node), ask) };
  }

  private window({ order, top, left, bottom, right }: Asks["window"]): Answers["window"] {
    const { row, column } = this.binned.order(order);
    const edges: number[] = [];
    for (let edge = 0; edge < this.meta.edges; edge++) {
      const [down, across] = [row[this.edges.dst[edge]], column[this.edges.src[edge]]];
      const isInside = down > top - 1 && down < bottom && across > left - 1 && across < right;
      if (isInside) edges.push(edge);
    }
    return { edges };
  }

  private places({ order, nodes, edges }: Asks["places"]): Answers["places"] {
    const { row, column } = this.binned.order(order);
    const { rows, columns } = this.meta.node_sides;
    return {
      nodes: nodes.map(([side, node]) => [
        side === rows ? row[node] : -1,
        side === columns ? column[node] : -1,
      ]),
      rows: edges.map((edge) => row[this.edges.dst[edge]]),
      columns: edges.map((edge) => column[this.edges.src[edge]]),
    };
  }
}
