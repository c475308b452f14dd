/** Which edges are selected, what a change makes of them, and who keeps them in a saved page. */

import type { Ask, AnyAsk, Change, Kind, Reply } from "./protocol";
import type { Source } from "./source";

export interface Chosen {
  /** The first of those selected: all of them, but for very many. */
  edges: number[];
  /** How many edges are selected. */
  total: number;
}

/** What is selected after a change by some edges, in so far as the first of many tell. */
export function changed({ edges, total }: Chosen, how: Change["how"], given: number[]): Chosen {
  const known = new Set(how === "replace" ? [] : edges);
  let beyond = how === "replace" ? 0 : total - edges.length;
  for (const edge of given) {
    if (how !== "remove") known.add(edge);
    else if (!known.delete(edge)) beyond = Math.max(beyond - 1, 0);
  }
  return { edges: [...known].sort((a, b) => a - b), total: known.size + beyond };
}

/** Who selects where there is no Python: the rest is answered by another source. */
export class Keeper implements Source {
  constructor(
    private readonly source: Source,
    private chosen: Chosen,
  ) {}

  async ask<K extends Kind>(ask: Ask<K>): Promise<Reply<K>> {
    const any = ask as unknown as AnyAsk;
    if (any.kind !== "select") return this.source.ask(ask);
    const given = await this.edgesOf(any);
    this.chosen = changed(this.chosen, any.how, given);
    return { answer: this.chosen, buffers: [] } as unknown as Reply<K>;
  }

  private async edgesOf(change: Change): Promise<number[]> {
    if ("edges" in change) return change.edges;
    if ("window" in change) {
      return (await this.source.ask({ kind: "window", ...change.window })).answer.edges;
    }
    const rows = { sort: "weight", descending: true, start: 0, stop: Number.MAX_SAFE_INTEGER };
    const { answer } = await this.source.ask({ kind: "partners", ...change.table, ...rows });
    return answer.rows.map(({ edge }) => edge).filter((edge) => edge !== null);
  }
}
