/** What is shown and selected, shared by all panes and with Python. */

import type { Meta, NodeId, PathChoice, Place, Region } from "./protocol";
import { later } from "./dom";
import { clamped, whole } from "./region";
import type { Model } from "./source";

export interface Shown {
  order: string;
  value: string;
  region: Region;
  /** The node whose partners are listed. */
  node: NodeId | null;
  nodes: NodeId[];
  /** The first of those selected: all of them, but for very many. */
  edges: number[];
  /** How many edges are selected. */
  total: number;
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

  constructor(
    readonly meta: Meta,
    readonly shown: Readonly<Shown>,
  ) {}

  /** Call a function whenever one of some things changes. */
  watch(keys: Key[], run: () => void): void {
    this.watchers.push({ keys, run });
  }

  set(change: Partial<Shown>): void {
    const keys = (Object.keys(change) as Key[]).filter(
      (key) => JSON.stringify(change[key]) !== JSON.stringify(this.shown[key]),
    );
    if (keys.length === 0) return;
    Object.assign(this.shown, change);
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

  chooseEdges(edges: number[]): void {
    const all = this.shown.adding ? [...new Set([...this.shown.edges, ...edges])] : edges;
    this.set({ edges: all, total: all.length });
  }

  /** Select an edge, or do so no longer. */
  toggleEdge(edge: number, isSelected: boolean): void {
    const others = this.shown.edges.filter((one) => one !== edge);
    const edges = isSelected ? [...others, edge] : others;
    this.set({ edges, total: edges.length });
  }

  clear(): void {
    this.set({ edges: [], total: 0, nodes: [] });
  }
}

export function isSame(one: NodeId | null, other: NodeId | null): boolean {
  return one?.[0] === other?.[0] && one?.[1] === other?.[1];
}

/** What is shown at first, which the widget says or a saved page. */
export function begin(model: Model): Linked {
  const meta = model.get("_meta");
  const nodes = model.get("_nodes");
  const first = { order: meta.orders[0], value: meta.values[0].key, region: whole(meta) };
  return new Linked(meta, {
    ...first,
    node: nodes.at(-1) ?? null,
    nodes,
    ...selected(model),
    path: null,
    most: null,
    adding: false,
    dark: false,
    ...placed(model.get("_view"), meta),
  });
}

function selected(model: Model): { edges: number[]; total: number } {
  const edges = model.get("_edges");
  return { edges, total: Math.max(model.get("_edge_total"), edges.length) };
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
  const hear = (name: string, said: () => Partial<Shown>) => {
    const heard = () => linked.hear(said());
    model.on(`change:${name}`, heard);
    signal.addEventListener("abort", () => model.off(`change:${name}`, heard));
  };
  const edges = () => selected(model);
  hear("_edges", edges);
  hear("_edge_total", edges);
  hear("_nodes", () => {
    const nodes = model.get("_nodes");
    const isOwn = JSON.stringify(nodes) === JSON.stringify(linked.shown.nodes);
    return nodes.length > 0 && !isOwn ? { nodes, node: nodes[nodes.length - 1] } : { nodes };
  });
  hear("_view", () => placed(model.get("_view"), meta));

  linked.watch(["edges"], () => {
    if (linked.isHeard) return;
    model.set("_edges", shown.edges);
    model.save_changes();
  });
  linked.watch(["nodes"], () => {
    if (linked.isHeard) return;
    model.set("_nodes", shown.nodes);
    model.save_changes();
  });
  const tell = later(300, () => {
    const { order, value, region, node, path } = shown;
    const { top, left, bottom, right } = region;
    model.set("_view", { order, value, window: [top, left, bottom, right], node, path });
    model.save_changes();
  });
  linked.watch(["order", "value", "region", "node", "path"], tell);
}
