/** What is selected in the matrix, and where it stands there. */

import { cellIn, NO_EDGE } from "./cells";
import { later, sentence } from "./dom";
import type { Linked } from "./linked";
import type { Answers, Region } from "./protocol";
import { around } from "./region";
import type { Marks, Scene } from "./scene";
import type { Source } from "./source";

const MOST_PLACES = 10_000;

export class Selection {
  marks: Marks = { nodes: [], rows: [], columns: [] };

  constructor(
    private readonly source: Source,
    private readonly linked: Linked,
    private readonly tell: (text: string) => void,
    private readonly changed: () => void,
  ) {
    const locate = later(20, () => void this.locate());
    linked.watch(["nodes", "edges", "order"], locate);
    locate();
  }

  get isEmpty(): boolean {
    return this.marks.nodes.length + this.marks.rows.length === 0;
  }

  /** The part of the matrix in which all that is selected stands. */
  get region(): Region {
    const { nodes, rows, columns } = this.marks;
    return around(
      [...rows, ...nodes.map(([row]) => row)],
      [...columns, ...nodes.map(([, column]) => column)],
      this.linked.meta,
    );
  }

  /** Select the edges of a cell. */
  async choose(scene: Scene, cell: Region): Promise<void> {
    const found = cellIn(scene, cell);
    if (!found) return;
    if (found.edges === 0) return this.tell("No edge is there.");
    if (found.edges > 1 || found.edge === null) return this.select(cell);
    if (found.edge === NO_EDGE) return this.tell("This edge is in the other wiring alone.");
    this.linked.chooseEdges([found.edge]);
    try {
      this.tell((await this.source.ask({ kind: "edge", edge: found.edge })).answer.text);
    } catch {
      this.tell(`Edge ${found.edge} is selected.`);
    }
  }

  /** Select the edges of a rectangle. */
  async select({ top, left, bottom, right }: Region): Promise<void> {
    try {
      const said = await this.linked.chooseWindow({ top, left, bottom, right });
      if (said) this.tell(said);
    } catch (error) {
      this.tell(sentence(error));
    }
  }

  private async locate(): Promise<void> {
    const { shown } = this.linked;
    const { order, nodes, edges } = shown;
    let found: Answers["places"] = { nodes: [], rows: [], columns: [] };
    if (nodes.length + edges.length > 0) {
      const first = { nodes: nodes.slice(0, MOST_PLACES), edges: edges.slice(0, MOST_PLACES) };
      try {
        found = (await this.source.ask({ kind: "places", order, ...first })).answer;
      } catch {
        // It is selected all the same, and not marked.
      }
    }
    if (order !== shown.order || nodes !== shown.nodes || edges !== shown.edges) return;
    this.marks = found;
    this.changed();
  }
}
