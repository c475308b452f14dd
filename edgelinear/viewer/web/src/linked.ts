/** What is shown and selected, shared by all panes and with Python. */

import { changed, type Chosen } from "./chosen";
import { counted, later } from "./dom";
import type { Change, Meta, NodeId, PathChoice, Place, Region, Table } from "./protocol";
import { clamped, whole } from "./region";
import type { Model, Source } from "./source";

export interface Shown extends Chosen {
  order: string;
  value: string;
  region: Region;
  /** The node whose partners are listed. */
  node: NodeId | null;
  nodes: NodeId[];
  path: PathChoice | null;
  /** The largest number of the level of cells shown, once that is known. */
  most: number | null;
  /** Whether what is chosen next adds to what is selected. */
  adding: boolean;
  dark: boolean;
}

type Key = keyof Shown;

export class Linked {
  /** Whether the change under way comes from Python, which need not be told. */
  isHeard = false;
  private readonly watchers: { keys: Key[]; run: () => void }[] = [];
  private turn = 0; // of the last change of what is selected
  private isChanging = false; // what Python says of earlier ones comes too late
  private told: Chosen; // by Python

  constructor(
    readonly meta: Meta,
    readonly shown: Readonly<Shown>,
    private readonly source: Source,
  ) {
    const { edges, total } = shown;
    this.told = { edges, total };
  }

  /** Call a function whenever one of some things changes. */
  watch(keys: Key[], run: () => void): void {
    this.watchers.push({ keys, run });
  }

  set(change: Partial<Shown>): void {
    const keys = (Object.keys(change) as Key[]).filter(
      (key) => JSON.stringify(change[key]) !== JSON.stringify(this.shown[key]),
    );
    if (keys.length === 0) return;
    Object.assign(this.shown, Object.fromEntries(keys.map((key) => [key, change[key]])));
    for (const { keys: watched, run } of this.watchers) {
      if (watched.some((key) => keys.includes(key))) run();
    }
  }

  /** What Python says of itself. */
  hear(change: Partial<Shown>): void {
    this.isHeard = true;
    this.set(change);
    this.isHeard = false;
  }

  /** Show the partners of a node and select it, beside those selected if these are to stay. */
  chooseNode(node: NodeId): void {
    const others = this.shown.adding ? this.shown.nodes.filter((one) => !isSame(one, node)) : [];
    this.set({ node, nodes: [...others, node] });
  }

  /** What Python has selected. */
  hearChosen({ edges, total }: Chosen): void {
    this.told = { edges, total };
    if (!this.isChanging) this.set(this.told);
  }

  chooseEdges(edges: number[]): void {
    this.choose(this.how, edges);
  }

  /** Select an edge beside the others, or do so no longer. */
  toggleEdge(edge: number, isSelected: boolean): void {
    this.choose(isSelected ? "add" : "remove", [edge]);
  }

  clear(): void {
    this.choose("replace", []);
    this.set({ nodes: [] });
  }

  /** Select the edges of a rectangle in the order shown. Returns what is to be said. */
  chooseWindow(region: Region): Promise<string | null> {
    const { order } = this.shown;
    return this.change({ how: this.how, window: { order, ...region } });
  }

  /** Select all edges of a table. Returns what is to be said. */
  chooseTable(table: Table): Promise<string | null> {
    return this.change({ how: this.how, table });
  }

  private choose(how: Change["how"], edges: number[]): void {
    this.change({ how, edges }).catch(() => undefined); // what was shown is taken back
  }

  private get how(): Change["how"] {
    return this.shown.adding ? "add" : "replace";
  }

  /**
   * Have Python change what is selected, which alone knows all of it: what follows from the numbers
   * here is shown at once. Returns what came of it, or null where another change came after.
   * Rejects with what Python refuses.
   */
  private async change(change: Change): Promise<string | null> {
    const turn = ++this.turn;
    this.isChanging = true;
    const asked = this.source.ask({ kind: "select", ...change });
    if ("edges" in change) this.set(changed(this.shown, change.how, change.edges));
    try {
      this.told = (await asked).answer;
    } finally {
      if (turn === this.turn) {
        this.isChanging = false;
        this.set(this.told);
      }
    }
    return turn === this.turn ? `${counted(this.told.total, "edge")} selected.` : null;
  }

  /** Those selected, with those of some edges that are and that the page has not in its list. */
  async selected(edges: number[]): Promise<Set<number>> {
    const known = new Set(this.shown.edges);
    const others = edges.filter((edge) => !known.has(edge));
    if (this.shown.total === known.size || others.length === 0) return known;
    try {
      const { answer } = await this.source.ask({ kind: "selected", edges: others });
      for (const edge of answer.edges) known.add(edge);
    } catch {
      // A saved page has the first of them alone.
    }
    return known;
  }
}

export function isSame(one: NodeId | null, other: NodeId | null): boolean {
  return one?.[0] === other?.[0] && one?.[1] === other?.[1];
}

/** What is shown at first, which the widget says or a saved page. */
export function begin(model: Model, source: Source): Linked {
  const meta = model.get("_meta");
  const nodes = model.get("_nodes");
  const first = { order: meta.orders[0], value: meta.values[0].key, region: whole(meta) };
  const shown = {
    ...first,
    node: nodes.at(-1) ?? null,
    nodes,
    ...chosenBy(model),
    path: null,
    most: null,
    adding: false,
    dark: false,
    ...placed(model.get("_view"), meta),
  };
  return new Linked(meta, shown, source);
}

export function chosenBy(model: Model): Chosen {
  return { edges: model.get("_edges"), total: model.get("_edge_total") };
}

/** What a place says of what is shown, in so far as there is such a thing. */
function placed(place: Place, meta: Meta): Partial<Shown> {
  const shown: Partial<Shown> = {};
  if (place.order && meta.orders.includes(place.order)) shown.order = place.order;
  if (meta.values.some(({ key }) => key === place.value)) shown.value = place.value;
  if (place.window) {
    const [top, left, bottom, right] = place.window;
    shown.region = clamped({ top, left, bottom, right }, meta);
  }
  if (place.node) shown.node = place.node;
  if (place.path) shown.path = place.path;
  return shown;
}

/** Keep what is selected and shown the same here and in Python. */
export function bind(linked: Linked, model: Model, signal: AbortSignal): void {
  const { shown, meta } = linked;
  const on = (name: string, heard: () => void) => {
    model.on(`change:${name}`, heard);
    signal.addEventListener("abort", () => model.off(`change:${name}`, heard));
  };
  const edges = () => linked.hearChosen(chosenBy(model));
  on("_edges", edges);
  on("_edge_total", edges);
  on("_nodes", () => {
    const nodes = model.get("_nodes");
    const isOwn = JSON.stringify(nodes) === JSON.stringify(linked.shown.nodes);
    const last = nodes.length > 0 && !isOwn ? { node: nodes[nodes.length - 1] } : {};
    linked.hear({ nodes, ...last });
  });
  let place = model.get("_view");
  on("_view", () => {
    // What is as it was is no news: the page may have gone on, and not said so yet.
    const before = place;
    place = model.get("_view");
    linked.hear(placed(newsIn(place, before), meta));
  });

  linked.watch(["nodes"], () => {
    if (linked.isHeard) return;
    model.set("_nodes", shown.nodes);
    model.save_changes();
  });
  const tell = later(300, () => {
    const { order, value, region, node, path } = shown;
    const { top, left, bottom, right } = region;
    place = { order, value, window: [top, left, bottom, right], node, path };
    model.set("_view", place);
    model.save_changes();
  });
  linked.watch(["order", "value", "region", "node", "path"], tell);
}

function newsIn(place: Place, before: Place): Place {
  const isNew = ([key, value]: [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(before[key as keyof Place]);
  return Object.fromEntries(Object.entries(place).filter(isNew));
}
