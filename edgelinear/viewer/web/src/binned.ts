/** The cells of a small wiring, in a page that was saved: as Python counts them. */

import { NO_EDGE } from "./cells";
import type { Asks, Meta, Reply, SavedEdges } from "./protocol";

interface Placed {
  rows: number[];
  columns: number[];
  /** Where each target and each source is. */
  row: number[];
  column: number[];
}

interface Cell {
  row: number;
  column: number;
  edges: number;
  sum: number;
  first: number;
}

export class Binned {
  private readonly placed = new Map<string, Placed>();
  private readonly levels = new Map<string, { cells: Cell[]; most: number }>();

  constructor(
    private readonly edges: SavedEdges,
    private readonly meta: Meta,
  ) {}

  /** Where nodes stand in an order. */
  order(name: string): Placed {
    let found = this.placed.get(name);
    if (!found) {
      const given = (size: number) => Array.from({ length: size }, (_, node) => node);
      const rows = this.edges.orders[name]?.rows ?? given(this.meta.rows);
      const columns = this.edges.orders[name]?.columns ?? given(this.meta.columns);
      found = { rows, columns, row: inverse(rows), column: inverse(columns) };
      this.placed.set(name, found);
    }
    return found;
  }

  private isHere(edge: number): boolean {
    return edge < this.meta.edges;
  }

  private number(field: string, edge: number): number {
    return Number(this.edges.fields[field][edge]);
  }

  /** What an edge adds to its cell, or null where it does not count. */
  private shade(value: string, edge: number): number | null {
    const { state } = this.edges;
    if (value === "difference") return this.number(value, edge);
    if (value === "other") {
      if (state?.[edge] === "here") return null;
      return "other" in this.edges.fields ? Math.abs(this.number(value, edge)) : 1;
    }
    if (!this.isHere(edge)) return null;
    return value === "count" ? 1 : Math.abs(this.number(value, edge));
  }

  private isMean(value: string): boolean {
    return value !== "count" && (value !== "other" || "other" in this.edges.fields);
  }

  /** All cells of a level that have edges, row by row. */
  private level({ order, value, level }: Asks["tile"]): { cells: Cell[]; most: number } {
    const key = `${level} ${value} ${order}`;
    const known = this.levels.get(key);
    if (known) return known;
    const [rows, columns] = this.meta.spans[level];
    const { row, column } = this.order(order);
    const across = Math.ceil(this.meta.columns / columns);
    const found = new Map<number, Cell>();
    this.edges.src.forEach((source, edge) => {
      const shade = this.shade(value, edge);
      if (shade === null) return;
      const place = [
        Math.floor(row[this.edges.dst[edge]] / rows),
        Math.floor(column[source] / columns),
      ];
      const at = place[0] * across + place[1];
      const cell = found.get(at) ?? {
        row: place[0],
        column: place[1],
        edges: 0,
        sum: 0,
        first: edge,
      };
      cell.edges++;
      cell.sum += shade;
      found.set(at, cell);
    });
    const cells = [...found].sort(([a], [b]) => a - b).map(([, cell]) => cell);
    const sizes = cells.map((cell) => Math.abs(this.value(value, cell))).filter(Number.isFinite);
    const made = { cells, most: sizes.reduce((a, b) => Math.max(a, b), 0) };
    this.levels.set(key, made);
    return made;
  }

  private value(value: string, { sum, edges }: Cell): number {
    return this.isMean(value) ? sum / edges : sum;
  }

  tile(ask: Asks["tile"]): Reply<"tile"> {
    const { tile, spans, depth } = this.meta;
    const [down, across] = [this.meta.rows, this.meta.columns].map((size, side) =>
      Math.ceil(size / spans[ask.level][side]),
    );
    const [top, left] = [ask.row * tile, ask.column * tile];
    const [rows, columns] = [Math.min(down - top, tile), Math.min(across - left, tile)];
    const { cells, most } = this.level(ask);
    const inside = cells.filter(
      ({ row, column }) =>
        row >= top && row < top + rows && column >= left && column < left + columns,
    );
    const cell = inside.map(({ row, column }) => (row - top) * columns + (column - left));
    const buffers = [
      Uint32Array.from(cell),
      Float64Array.from(inside, (one) => this.value(ask.value, one)),
      Uint32Array.from(inside, ({ edges }) => edges),
    ].map((array) => new DataView(array.buffer));
    if (ask.level === depth - 1) {
      const first = inside.map((one) => (this.isHere(one.first) ? one.first : NO_EDGE));
      buffers.push(new DataView(Uint32Array.from(first).buffer));
    }
    return { answer: { rows, columns, most, cells: inside.length }, buffers };
  }
}

function inverse(order: number[]): number[] {
  const place = new Array<number>(order.length);
  order.forEach((node, at) => {
    place[node] = at;
  });
  return place;
}
