/** Tiles of the matrix and names of its rows and columns, asked for when they are first needed. */

import { Palette, scaleOf } from "./colours";
import type { Answers, Axis, Meta, Reply } from "./protocol";
import { FONT } from "./scene";
import type { Source } from "./source";

/** A picture of the matrix: nodes in an order, and what colours tell. */
export interface Layer {
  order: string;
  value: string;
}

/** Where a tile is: in which level, and how many tiles down and across. */
export interface Spot {
  level: number;
  row: number;
  column: number;
}

export interface Tile {
  rows: number;
  columns: number;
  /** The largest number of the whole level. */
  most: number;
  /** Cells that have edges, by row * columns + column; what each shows; how many edges it has. */
  cell: Uint32Array;
  value: Float64Array;
  edges: Uint32Array;
  /** The first edge of each cell, where a cell is one node by one node. */
  edge: Uint32Array | null;
  image: HTMLCanvasElement | null;
  painted: string;
}

const ROOM = 20_000_000; // bytes of tiles that are kept
const AT_ONCE = 4; // asks under way: what is wanted may be another thing when they are answered

export class Tiles {
  private readonly known = new Map<string, Tile>(); // the one used last stands last
  private readonly asked = new Set<string>();
  private readonly missing = new Set<string>();
  private readonly mosts = new Map<string, number>();
  private layer = ""; // that was wanted last
  private wanted: (Spot & { layer: Layer })[] = [];
  private bytes = 0;

  constructor(
    private readonly source: Source,
    private readonly meta: Meta,
    private readonly changed: () => void,
    private readonly refused: (error: unknown) => void,
  ) {}

  get(layer: Layer, spot: Spot): Tile | undefined {
    const key = keyOf(layer, spot);
    const tile = this.known.get(key);
    if (tile) {
      this.known.delete(key);
      this.known.set(key, tile);
    }
    return tile;
  }

  /** Ask for these tiles, and no longer for others. */
  want(layer: Layer, spots: Spot[]): void {
    const { layer: before } = this;
    this.layer = `${layer.value} ${layer.order}`;
    if (this.layer !== before) this.missing.clear(); // and they are asked for once more
    this.wanted = spots
      .map((spot) => ({ layer, ...spot }))
      .filter((spot) => !this.isSettled(keyOf(layer, spot)));
    this.pump();
  }

  /** Whether none of some tiles is to be had. */
  lacks(layer: Layer, spots: Spot[]): boolean {
    return spots.length > 0 && spots.every((spot) => this.missing.has(keyOf(layer, spot)));
  }

  /** The largest number of a level, once any tile of it was here. */
  most(layer: Layer, level: number): number | null {
    return this.mosts.get(levelKey(layer, level)) ?? null;
  }

  /** How many tiles that are wanted are not here yet. */
  get awaited(): number {
    return this.wanted.length + this.asked.size;
  }

  private isSettled(key: string): boolean {
    return this.known.has(key) || this.asked.has(key) || this.missing.has(key);
  }

  private pump(): void {
    while (this.asked.size < AT_ONCE) {
      const next = this.wanted.shift();
      if (!next) return;
      const { layer, ...spot } = next;
      const key = keyOf(layer, spot);
      this.asked.add(key);
      this.source
        .ask({ kind: "tile", ...layer, ...spot })
        .then((reply) => {
          this.mosts.set(levelKey(layer, spot.level), reply.answer.most);
          this.keep(key, decoded(reply));
        })
        .catch((error: unknown) => {
          this.missing.add(key);
          this.refused(error);
        })
        .finally(() => {
          this.asked.delete(key);
          this.pump();
          this.changed();
        });
    }
  }

  private keep(key: string, tile: Tile): void {
    this.known.set(key, tile);
    this.bytes += bytesOf(tile);
    for (const [old, other] of this.known) {
      if (this.bytes <= ROOM) break;
      // The whole matrix stays: it is what is shown until finer tiles are there.
      if (old === key || old.startsWith("0 ")) continue;
      this.known.delete(old);
      this.bytes -= bytesOf(other);
    }
  }

  /** The picture of a tile, in the colours of now. */
  image(tile: Tile, layer: Layer, dark: boolean): HTMLCanvasElement {
    const signed = this.meta.signed.includes(layer.value);
    const scale = scaleOf(layer.value, signed, tile.most);
    const palette = paletteOf(scale.kind, dark);
    if (tile.image && tile.painted === palette.name) return tile.image;
    const image = tile.image ?? document.createElement("canvas");
    image.width = tile.columns;
    image.height = tile.rows;
    const context = image.getContext("2d");
    if (!context) throw new Error("this browser gives no canvas to draw on.");
    const picture = context.createImageData(tile.columns, tile.rows);
    for (let at = 0; at < tile.cell.length; at++) {
      const shade = palette.at(scale, tile.value[at]);
      const pixel = 4 * tile.cell[at];
      for (let byte = 0; byte < 4; byte++) {
        picture.data[pixel + byte] = palette.shades[shade + byte];
      }
    }
    context.putImageData(picture, 0, 0);
    tile.image = image;
    tile.painted = palette.name;
    return image;
  }
}

function keyOf({ order, value }: Layer, { level, row, column }: Spot): string {
  return `${level} ${row} ${column} ${value} ${order}`;
}

function levelKey({ order, value }: Layer, level: number): string {
  return `${level} ${value} ${order}`;
}

function bytesOf(tile: Tile): number {
  return 4 * tile.rows * tile.columns + (tile.edge ? 20 : 16) * tile.cell.length;
}

function decoded({ answer, buffers }: Reply<"tile">): Tile {
  const [cell, value, edges, edge] = buffers.map((view) =>
    view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength),
  );
  return {
    rows: answer.rows,
    columns: answer.columns,
    most: answer.most,
    cell: new Uint32Array(cell),
    value: new Float64Array(value),
    edges: new Uint32Array(edges),
    edge: edge ? new Uint32Array(edge) : null,
    image: null,
    painted: "",
  };
}

const palettes = new Map<string, Palette>();

export function paletteOf(kind: Palette["kind"], dark: boolean): Palette {
  const key = `${kind} ${dark}`;
  const palette = palettes.get(key) ?? new Palette(kind, dark);
  palettes.set(key, palette);
  return palette;
}

const CHUNK = 200; // names asked for at once
const BESIDE = 14; // pixels between names and what is beside them

export class Names {
  private readonly known = new Map<string, Answers["names"]>();
  private readonly longest = new Map<Axis, number>();
  private readonly asked = new Set<string>();

  constructor(
    private readonly source: Source,
    private readonly meta: Meta,
    private readonly changed: () => void,
  ) {}

  /** The pixels for names along a side, or for bars where these are too many to be seen at once. */
  room(axis: Axis, least: number, most: number): number {
    if (!this.meta.named && this.meta[axis] <= CHUNK) return least;
    return Math.min(Math.max(this.longest.get(axis) ?? most, least), most);
  }

  /** What the node at a place is called, once that is known. */
  get(axis: Axis, order: string, place: number): string | undefined {
    if (!this.meta.named && order === "given") return String(place);
    const side = this.meta.node_sides[axis];
    const start = startOf(place);
    const key = keyOfNames(axis, order, place);
    const chunk = this.known.get(key);
    if (!chunk && !this.asked.has(key)) {
      this.asked.add(key);
      const stop = Math.min(start + CHUNK, this.meta[axis]);
      this.source
        .ask({ kind: "names", side, axis, order, start, stop })
        .then(({ answer }) => {
          this.known.set(key, answer);
          if (this.meta[axis] <= CHUNK) this.longest.set(axis, lengthOf(answer.names));
          this.changed();
        })
        // A saved page has those alone that were shown.
        .catch(() => this.known.set(key, { names: [], nodes: [] }));
    }
    return chunk?.names[place - start];
  }

  /** Whether what the node at a place is called may still come. */
  awaits(axis: Axis, order: string, place: number): boolean {
    const key = keyOfNames(axis, order, place);
    return this.asked.has(key) && !this.known.has(key);
  }
}

function startOf(place: number): number {
  return Math.floor(place / CHUNK) * CHUNK;
}

function keyOfNames(axis: Axis, order: string, place: number): string {
  return `${axis} ${startOf(place)} ${order}`;
}

function lengthOf(names: (string | undefined)[]): number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return 0;
  context.font = `11px ${FONT}`;
  const widths = names.map((name) => context.measureText(name ?? "").width);
  return widths.reduce((most, width) => Math.max(most, width), 0) + BESIDE;
}
