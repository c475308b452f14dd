/** Nodes by their names, and in words. */

import type { NodeId } from "./protocol";
import type { Source } from "./source";

const WORDS: Record<string, string> = { in: "source", out: "target", node: "node" };

/** What a node of a side is: a source or a target, or a node where there is one side alone. */
export function wordFor(side: string): string {
  return WORDS[side] ?? side;
}

/** Names that were seen, so that a node that is chosen by one is called so at once. */
export class Seen {
  private readonly names = new Map<string, string>();

  constructor(private readonly source: Source) {}

  add(side: string, node: number, name: string): void {
    this.names.set(`${side} ${node}`, name);
  }

  async nameOf([side, node]: NodeId): Promise<string> {
    const key = `${side} ${node}`;
    if (!this.names.has(key)) {
      try {
        const { answer } = await this.source.ask({ kind: "names", side, nodes: [node] });
        const [name] = answer.names;
        if (name !== undefined) this.names.set(key, name);
      } catch {
        return `${wordFor(side)} ${node}`;
      }
    }
    return this.names.get(key) ?? String(node);
  }
}
