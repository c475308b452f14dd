/** What a frame of the matrix shows, and where on the canvas. */

import type { Theme } from "./colours";
import type { Axis, Meta, Region } from "./protocol";
import type { Layer, Names, Tiles } from "./tiles";

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';

/** Pixels of a node from which on it has room for its name. */
export const NAMES = 12;

/** Where the cells are on the canvas: names and numbers stand above and to the left. */
export interface Plot {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Where what is selected stands in the order shown. */
export interface Marks {
  nodes: [row: number, column: number][];
  rows: number[];
  columns: number[];
}

export interface Scene {
  meta: Meta;
  plot: Plot;
  region: Region;
  layer: Layer;
  level: number;
  theme: Theme;
  dark: boolean;
  tiles: Tiles;
  names: Names;
  marks: Marks;
  cursor: Region | null;
  rectangle: Region | null;
}

export function across({ plot, region }: Scene, column: number): number {
  return plot.x + ((column - region.left) / (region.right - region.left)) * plot.width;
}

export function down({ plot, region }: Scene, row: number): number {
  return plot.y + ((row - region.top) / (region.bottom - region.top)) * plot.height;
}

/** What stands along a side: nodes, or places of an order in which nodes have other numbers. */
export function wordOf(axis: Axis, isNode: boolean): string {
  if (axis === "rows") return isNode ? "target" : "row";
  return isNode ? "source" : "column";
}

/** The pixels of one node along a side. */
export function nodeSize({ plot, region }: Scene, axis: Axis): number {
  return axis === "rows"
    ? plot.height / (region.bottom - region.top)
    : plot.width / (region.right - region.left);
}

/** The pixels of one node. */
export function cellSize(scene: Scene): { width: number; height: number } {
  return { width: nodeSize(scene, "columns"), height: nodeSize(scene, "rows") };
}

/** The first position of ascending numbers that is no smaller than a number. */
export function placeOf(numbers: Uint32Array, number: number): number {
  let [from, to] = [0, numbers.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (numbers[middle] < number) from = middle + 1;
    else to = middle;
  }
  return from;
}
