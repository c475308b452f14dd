/** Who answers in a page that was saved: what Python answered then, and the edges where few. */

import type { Answers, AnyAsk, Ask, Kind, Reply, Saved, Traits } from "./protocol";
import { orderedRows } from "./rows";
import type { Model, Source } from "./source";
import { Whole } from "./whole";

const NEEDS_PYTHON = "This saved page does not hold that: it needs Python, and `el.view` there.";

export class Recorded implements Source {
  private readonly answers = new Map<string, Reply<Kind>>();
  private readonly tables = new Map<string, Answers["partners"]>(); // those that are whole
  private readonly names = new Map<string, string>();
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
      const { side, node, direction, filter } = ask;
      const isWhole = table.rows.length === table.total && !filter;
      if (isWhole) this.tables.set(`${side} ${node} ${direction}`, table);
      for (const row of table.rows) this.names.set(`${row.side} ${row.node}`, row.name);
    } else if (ask.kind === "names") {
      const { nodes, names } = answer as Answers["names"];
      nodes.forEach((node, at) => this.names.set(`${ask.side} ${node}`, names[at]));
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
      const { side, node, direction, start, stop, ...how } = ask;
      const table = this.tables.get(`${side} ${node} ${direction}`);
      if (!table) return null;
      const rows = orderedRows(table.rows, how);
      const { columns } = table;
      return reply({ total: rows.length, rows: rows.slice(start, stop), columns });
    }
    if (ask.kind === "names" && "nodes" in ask) {
      const names = ask.nodes.map((node) => this.names.get(`${ask.side} ${node}`));
      if (names.some((name) => name === undefined)) return null;
      return reply({ names: names as string[], nodes: ask.nodes });
    }
    return null;
  }
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
