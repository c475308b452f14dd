/** Who answers in a page that was saved: what Python answered then, and the edges where few. */

import type { Answers, AnyAsk, Ask, Asks, Kind, Reply, Saved, Traits } from "./protocol";
import { orderedRows } from "./rows";
import type { Model, Source } from "./source";
import { Whole } from "./whole";

const NEEDS_PYTHON = "This saved page does not hold that: it needs Python, and `el.view` there.";

/** The first rows of a table, or all of them, and how they were asked for. */
type Table = Answers["partners"] & { ask: Asks["partners"] };
/** Some of the rows or columns of the matrix. */
type Part = Extract<Asks["names"], { start: number }>;

export class Recorded implements Source {
  private readonly answers = new Map<string, Reply<Kind>>();
  private readonly tables = new Map<string, Table>();
  private readonly names = new Map<string, string>();
  private readonly places = new Map<string, number>(); // the nodes of rows and columns
  private readonly whole: Whole | null;

  constructor(saved: Saved) {
    this.whole = saved.edges && new Whole(saved.edges, saved.traits._meta);
    for (const { ask, answer, buffers } of saved.answers) {
      const reply = { answer: answer as Answers[Kind], buffers: buffers.map(bytesOf) };
      this.answers.set(keyOf(ask), reply);
      this.learn(ask as unknown as AnyAsk, reply.answer);
    }
  }

  /** Keep of an answer what answers other questions too. */
  private learn(ask: AnyAsk, answer: Answers[Kind]): void {
    if (ask.kind === "partners") {
      const table = answer as Answers["partners"];
      this.tables.set(tableOf(ask), { ask, ...table });
      for (const row of table.rows) this.names.set(`${row.side} ${row.node}`, row.name);
    } else if (ask.kind === "names") {
      const { nodes, names } = answer as { nodes: number[]; names: string[] };
      nodes.forEach((node, at) => this.names.set(`${ask.side} ${node}`, names[at]));
      if ("nodes" in ask) return;
      nodes.forEach((node, at) => this.places.set(placeOf(ask, ask.start + at), node));
    } else if (ask.kind === "paths") {
      const { nodes } = answer as Answers["paths"];
      for (const { side, node, name } of nodes) this.names.set(`${side} ${node}`, name);
    }
  }

  async ask<K extends Kind>(ask: Ask<K>): Promise<Reply<K>> {
    const any = ask as unknown as AnyAsk;
    const found = this.answers.get(keyOf(ask)) ?? this.whole?.answer(any) ?? this.derived(any);
    if (!found) throw new Error(NEEDS_PYTHON);
    return found as Reply<K>;
  }

  /** What follows from answers to other questions. */
  private derived(ask: AnyAsk): Reply<Kind> | null {
    if (ask.kind === "partners") {
      const table = this.tables.get(tableOf(ask));
      return table ? partOf(table, ask) : null;
    }
    if (ask.kind === "names") {
      const nodes = "nodes" in ask ? ask.nodes : this.nodesFrom(ask);
      const names = nodes.map((node) => this.names.get(`${ask.side} ${node}`));
      const isKnown = (name: string | undefined) => name !== undefined;
      if ("nodes" in ask ? !names.every(isKnown) : !names.some(isKnown)) return null;
      return reply({ names, nodes });
    }
    return null;
  }

  private nodesFrom(part: Part): (number | undefined)[] {
    const at = (_: unknown, after: number) => this.places.get(placeOf(part, part.start + after));
    return Array.from({ length: part.stop - part.start }, at);
  }
}

function tableOf({ side, node, direction }: Asks["csv"]): string {
  return `${side} ${node} ${direction}`;
}

function placeOf({ axis, order }: Part, place: number): string {
  return `${axis} ${place} ${order}`;
}

/** Rows of a table in any order where all are here, or else of the first ones in theirs. */
function partOf({ ask, rows, total, columns }: Table, part: Asks["partners"]): Reply<Kind> | null {
  const { start, stop } = part;
  if (rows.length === total && !ask.filter) {
    const found = orderedRows(rows, part);
    return reply({ total: found.length, rows: found.slice(start, stop), columns });
  }
  const isSame =
    part.sort === ask.sort && part.descending === ask.descending && part.filter === ask.filter;
  if (!isSame || stop > rows.length) return null;
  return reply({ total, rows: rows.slice(start, stop), columns });
}

function reply(answer: Answers[Kind]): Reply<Kind> {
  return { answer, buffers: [] };
}

/** The same text for the same question, whatever the order in which it is written. */
export function keyOf(ask: object): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(ask).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}

function bytesOf(text: string): DataView {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** The traits of a page that was saved, which nobody else hears of. */
export function modelOf(traits: Traits): Model {
  const known = { ...traits };
  return {
    get: (name) => known[name],
    set: (name, value) => {
      known[name] = value;
    },
    save_changes: () => undefined,
    on: () => undefined,
    off: () => undefined,
    send: () => undefined,
  };
}
