/** The messages between the page and Python, and what both know of a view. */

/** A side and a number: "in" and "out" are those of a layer, "node" that of a whole graph. */
export type NodeId = [side: string, number: number];

/** A number as JSON can hold it: those that are not finite are written out. */
export type Figure = number | "NaN" | "Infinity" | "-Infinity" | null;

export type Direction = "in" | "out";
export type Axis = "rows" | "columns";
export type State = "both" | "here" | "there";

/** What is looked at. Rows are targets, columns are sources. */
export interface Meta {
  title: string;
  /** What heads a page that was saved, in place of the title. */
  caption?: string;
  kind: string;
  version: string;
  digest: string;
  rows: number;
  columns: number;
  edges: number;
  sides: string[];
  node_sides: Record<Axis, string>;
  orders: string[];
  values: { key: string; label: string }[];
  /** Keys of values that are below 0 too. */
  signed: string[];
  /** Levels of tiles: level 0 is one tile, in the last a cell is one node by one node. */
  depth: number;
  /** Rows and columns of nodes that a cell of each level spans. */
  spans: [rows: number, columns: number][];
  /** Cells on a side of a tile. */
  tile: number;
  named: boolean;
  compare: boolean;
  /** The most edges of a path, where the graph has cycles. */
  steps: number | null;
  /** What there is to say of the wiring, in sentences. */
  notes: string[];
}

/** What is seen of the matrix, in rows and columns of the order shown. */
export interface Region {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

export interface PathChoice {
  source: NodeId | null;
  target: NodeId | null;
  through: NodeId | null;
  k: number;
}

/** Where a view stands, kept so that a saved page opens there. */
export interface Place {
  order?: string;
  value?: string;
  window?: [top: number, left: number, bottom: number, right: number] | null;
  node?: NodeId | null;
  path?: PathChoice | null;
}

/** A part of the matrix in an order. */
export type Window = { order: string } & Region;

/** The edges of a node whose partners have a text in their names. */
export interface Table {
  side: string;
  node: number;
  direction: Direction;
  filter: string;
}

/** Edges to be selected, by number, in a window or of a table: these alone, as well, or no more. */
export type Change = { how: "replace" | "add" | "remove" } & (
  | { edges: number[] }
  | { window: Window }
  | { table: Table }
);

export interface Asks {
  tile: { order: string; value: string; level: number; row: number; column: number };
  /** Of the nodes that are rows or columns from one place to another, or of some nodes. */
  names:
    | { side: string; axis: Axis; order: string; start: number; stop: number }
    | { side: string; nodes: number[] };
  search: { text: string; side: string | null; limit: number };
  partners: Table & { sort: string; descending: boolean; start: number; stop: number };
  paths: { source: NodeId; target: NodeId; through: NodeId | null; k: number };
  csv: { side: string; node: number; direction: Direction };
  /** Changes which edges are selected. */
  select: Change;
  /** Which of some edges are selected, asked where very many are. */
  selected: { edges: number[] };
  /** All edges of the rows and columns that a rectangle touches: a saved page asks itself. */
  window: Window;
  edge: { edge: number };
  /** Where nodes and edges stand in an order: what is selected is marked there. */
  places: { order: string; nodes: NodeId[]; edges: number[] };
}

export interface Answers {
  /** Buffers: Uint32 cell (row * columns + column), Float64 value, Uint32 edges, Uint32 edge. */
  tile: { rows: number; columns: number; most: number; cells: number };
  /** Of a part of the rows or columns, a saved page knows some alone. */
  names: { names: (string | undefined)[]; nodes: (number | undefined)[] };
  search: { found: Found[]; total: number };
  partners: { total: number; rows: Partner[]; columns: string[] };
  paths: { paths: Path[]; nodes: PathNode[]; links: Link[]; said: string };
  csv: { text: string; name: string };
  /** All that are selected then: the first 10,000, and how many there are. */
  select: { edges: number[]; total: number };
  selected: { edges: number[] };
  window: { edges: number[] };
  edge: { text: string };
  /** A row and a column for each node, -1 where it has none, and for each edge. */
  places: { nodes: [row: number, column: number][]; rows: number[]; columns: number[] };
}

export type Kind = keyof Asks;
export type Ask<K extends Kind> = { kind: K } & Asks[K];
/** Any of them, which its kind tells. */
export type AnyAsk = { [K in Kind]: Ask<K> }[Kind];

export interface Reply<K extends Kind> {
  answer: Answers[K];
  buffers: DataView[];
}

export interface Found {
  side: string;
  node: number;
  name: string;
  in: number;
  out: number;
}

export interface Partner {
  /** None where the edge is in the other wiring alone. */
  edge: number | null;
  side: string;
  node: number;
  name: string;
  weight: Figure;
  contribution: Figure;
  values: Figure;
  other: Figure;
  difference: Figure;
  state: State;
}

export interface Path {
  nodes: NodeId[];
  edges: number[];
  /** Of the sizes of the weights, and the logarithm of it. */
  product: Figure;
  log10: number;
  sign: number;
}

export interface PathNode {
  side: string;
  node: number;
  name: string;
  column: number;
  role: "source" | "target" | "through" | "node";
}

export interface Link {
  edge: number;
  from: NodeId;
  to: NodeId;
  weight: Figure;
}

/** The traits of the widget, by their names on the wire. */
export interface Traits {
  _meta: Meta;
  /** Those selected, 10,000 at most. */
  _edges: number[];
  /** How many are selected. */
  _edge_total: number;
  _nodes: NodeId[];
  _theme: "auto" | "light" | "dark";
  _view: Place;
}

/** What a saved page holds, as JSON in its element `edgelinear-saved`. */
export interface Saved {
  traits: Traits;
  /** One for each ask that the page can answer without Python; buffers are base64. */
  answers: { ask: { kind: Kind } & Record<string, unknown>; answer: unknown; buffers: string[] }[];
  /** All edges, where they are few: the page then answers all but paths itself. */
  edges: SavedEdges | null;
  /** What is in the page, as its footer says: "an overview of the matrix, 1 partner table". */
  contents: string;
}

export interface SavedEdges {
  src: number[];
  dst: number[];
  /** What is known of each edge, as "weight", "contribution", "other" or "difference". */
  fields: Record<string, Figure[]>;
  /** Those of these that have the digits of single precision. */
  single: string[];
  /** What Python says of each edge of this wiring. */
  texts: string[];
  /** Where there is another wiring: edges after those of this one are in the other alone. */
  state: State[] | null;
  /** Names of the nodes of each side; null where they have none. */
  names: Record<string, string[] | null>;
  /** Display position -> node, for each order but "given". */
  orders: Record<string, { rows: number[]; columns: number[] }>;
}
