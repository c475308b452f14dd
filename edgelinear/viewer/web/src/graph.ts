/** The drawing of paths: nodes in columns, edges as wide as their weights are large. */

import cytoscape from "cytoscape";
import { THEMES, type Theme } from "./colours";
import { button, counted, figure, make } from "./dom";
import type { Linked } from "./linked";
import type { Link, NodeId, PathNode } from "./protocol";
import { FONT } from "./scene";

const COLUMN = { least: 84, most: 190 }; // pixels from one column to the next
const ROW = 34;
const WIDEST = 7; // pixels of the edge with the largest weight
const BEND = -0.35; // of the pixels that an edge is longer than from one column to the next
const STEP = 1.3;
const CLOSEST = 1.2; // of what is shown by itself

export class Graph {
  readonly element: HTMLElement;
  private readonly drawing = make("div", { class: "drawing", role: "img" });
  private readonly legend = make("p", { class: "legend" });
  private graph: cytoscape.Core | null = null;

  constructor(
    private readonly linked: Linked,
    signal: AbortSignal,
  ) {
    const tools = make(
      "div",
      { class: "tools", role: "group", "aria-label": "Zoom of the drawing" },
      button("+", () => this.zoom(STEP), { "aria-label": "Zoom in" }),
      button("−", () => this.zoom(1 / STEP), { "aria-label": "Zoom out" }),
      button("Whole", () => this.fit()),
    );
    const below = make("div", { class: "under" }, this.legend, tools);
    this.element = make("div", { class: "graph" }, this.drawing, below);
    // Cytoscape does not hear of scrolls around a shadow root, and looks anew where it is. The wheel
    // scrolls the page until somebody has turned to the drawing.
    this.drawing.addEventListener("pointerdown", () => {
      this.graph?.resize().userZoomingEnabled(true);
    });
    this.drawing.addEventListener("pointerleave", () => this.graph?.userZoomingEnabled(false));
    const size = new ResizeObserver(() => {
      this.graph?.resize();
      this.fit();
    });
    size.observe(this.drawing);
    signal.addEventListener("abort", () => {
      size.disconnect();
      this.graph?.destroy();
    });
    linked.watch(["dark"], () => this.graph?.style(styles(this.theme)));
    linked.watch(["nodes"], () => this.markNodes());
  }

  private get theme(): Theme {
    return THEMES[this.linked.shown.dark ? "dark" : "light"];
  }

  draw(nodes: PathNode[], links: Link[]): void {
    this.graph?.destroy();
    const heights = nodes.map(
      ({ column }) => nodes.filter((node) => node.column === column).length,
    );
    const rows = heights.reduce((a, b) => Math.max(a, b), 0);
    this.drawing.style.height = `${Math.min(Math.max(ROW * rows + 90, 160), 420)}px`;
    const columns = new Set(nodes.map(({ column }) => column)).size;
    const room = (this.drawing.clientWidth - 120) / Math.max(columns - 1, 1);
    const apart = Math.min(Math.max(room, COLUMN.least), COLUMN.most);
    const places = placed(nodes, links, apart);
    const place = ([side, node]: NodeId) => places.get(key(side, node)) ?? { x: 0, y: 0 };
    const sizes = links.map(({ weight }) => Math.abs(Number(weight ?? 1)));
    const most = sizes.filter(Number.isFinite).reduce((a, b) => Math.max(a, b), 0) || 1;
    this.graph = cytoscape({
      container: this.drawing,
      elements: [
        ...nodes.map(({ side, node, name, role }) => ({
          data: { id: key(side, node), name, side, node },
          position: places.get(key(side, node)),
          classes: role,
        })),
        ...links.map(({ edge, from, to, weight }, at) => ({
          data: {
            id: `edge ${edge}`,
            edge,
            source: key(...from),
            target: key(...to),
            width: Math.max(1, WIDEST * Math.min(sizes[at] / most, 1)),
            // Past the columns between, and not through what stands there.
            bend: (place(to).x - place(from).x - apart) * BEND,
          },
          classes: Number(weight) < 0 ? "below" : "",
        })),
      ],
      style: styles(this.theme),
      layout: { name: "preset" },
      userZoomingEnabled: false,
      boxSelectionEnabled: false,
      autoungrabify: true,
      autounselectify: true,
      maxZoom: 3,
    });
    this.graph.on("tap", "node", ({ target }) =>
      this.linked.chooseNode([target.data("side"), target.data("node")]),
    );
    this.graph.on("tap", "edge", ({ target }) => this.linked.chooseEdges([target.data("edge")]));
    const size = `${counted(nodes.length, "node")} in ${counted(columns, "column")}`;
    const label = `Drawing of the paths: ${size}, ${counted(links.length, "edge")}. `;
    this.drawing.setAttribute("aria-label", `${label}The list beside it says the same.`);
    this.graph.nodes().style("text-max-width", `${apart - 12}px`);
    this.legend.textContent = `Widest line: |weight| ${figure(most)}. Blue and dashed: below 0.`;
    this.fit();
    this.markNodes();
  }

  /** Show all, and few nodes no larger than need be. */
  private fit(): void {
    const { graph } = this;
    if (!graph) return;
    graph.fit(undefined, 16);
    if (graph.zoom() > CLOSEST) graph.zoom(CLOSEST).center();
  }

  /** Mark the edges that are selected. */
  mark(edges: Set<number>): void {
    this.graph?.edges().forEach((one) => {
      one.toggleClass("selected", edges.has(one.data("edge")));
    });
  }

  private markNodes(): void {
    const selected = new Set(this.linked.shown.nodes.map(([side, node]) => key(side, node)));
    this.graph?.nodes().forEach((one) => {
      one.toggleClass("selected", selected.has(one.id()));
    });
  }

  private zoom(factor: number): void {
    const { graph } = this;
    if (!graph) return;
    const middle = { x: graph.width() / 2, y: graph.height() / 2 };
    graph.zoom({ level: graph.zoom() * factor, renderedPosition: middle });
  }
}

function key(side: string, node: number): string {
  return `${side} ${node}`;
}

/** A place for each node: in its column, near those that it is joined with. */
function placed(
  nodes: PathNode[],
  links: Link[],
  apart: number,
): Map<string, { x: number; y: number }> {
  const columns = [...new Set(nodes.map(({ column }) => column))].sort((a, b) => a - b);
  const places = new Map<string, { x: number; y: number }>();
  columns.forEach((column, at) => {
    const here = nodes.filter((node) => node.column === column);
    const height = new Map(
      here.map((one) => {
        const id = key(one.side, one.node);
        const before = links
          .filter(({ to }) => key(...to) === id)
          .map(({ from }) => places.get(key(...from))?.y ?? 0);
        const mean = before.reduce((sum, y) => sum + y, 0) / Math.max(before.length, 1);
        return [id, mean];
      }),
    );
    const ids = [...height.keys()].sort((a, b) => (height.get(a) ?? 0) - (height.get(b) ?? 0));
    ids.forEach((id, row) => places.set(id, { x: at * apart, y: (row - ids.length / 2) * ROW }));
  });
  return places;
}

function styles(theme: Theme): cytoscape.StylesheetJson {
  return [
    {
      selector: "node",
      style: {
        width: 10,
        height: 10,
        "background-color": theme.accent,
        label: "data(name)",
        color: theme.ink,
        "font-family": FONT,
        "font-size": 11,
        "min-zoomed-font-size": 7,
        "text-halign": "center",
        "text-valign": "top",
        "text-margin-y": -3,
        "text-wrap": "ellipsis",
        "text-background-color": theme.panel,
        "text-background-opacity": 0.85,
        "text-background-padding": "1px",
      },
    },
    {
      selector: "edge",
      style: {
        width: "data(width)",
        "line-color": theme.above,
        "line-opacity": 0.65,
        "curve-style": "unbundled-bezier",
        "control-point-distances": "data(bend)",
        "control-point-weights": [0.5],
        "target-arrow-shape": "triangle",
        "target-arrow-color": theme.above,
        "arrow-scale": 0.7,
      },
    },
    {
      selector: "edge.below",
      style: {
        "line-style": "dashed",
        "line-color": theme.below,
        "target-arrow-color": theme.below,
      },
    },
    { selector: ".source, .target, .through", style: { width: 14, height: 14, shape: "diamond" } },
    { selector: "node.selected", style: { "background-color": theme.mark, "font-weight": "bold" } },
    {
      selector: "edge.selected",
      style: {
        "line-opacity": 1,
        "underlay-color": theme.mark,
        "underlay-opacity": 0.5,
        "underlay-padding": 5,
      },
    },
  ];
}
