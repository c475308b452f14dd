/** What stands in a cell of the matrix, and in words. */

import { count, counted, figure } from "./dom";
import type { Axis, Region } from "./protocol";
import { cellAt, tilesIn } from "./region";
import { placeOf, wordOf, type Scene } from "./scene";

/** Of an edge that is in the other wiring alone, which has no number here. */
export const NO_EDGE = 0xffffffff;

export interface Cell {
  edges: number;
  value: number;
  /** Its first edge, where that is known. */
  edge: number | null;
}

/** What is in a cell of the level shown, or nothing while its tile is not here. */
export function cellIn({ meta, level, layer, tiles }: Scene, cell: Region): Cell | undefined {
  const [rows, columns] = meta.spans[level];
  const [row, column] = [Math.floor(cell.top / rows), Math.floor(cell.left / columns)];
  const spot = { level, row: Math.floor(row / meta.tile), column: Math.floor(column / meta.tile) };
  const tile = tiles.get(layer, spot);
  if (!tile) return undefined;
  const number = (row % meta.tile) * tile.columns + (column % meta.tile);
  const at = placeOf(tile.cell, number);
  if (tile.cell[at] !== number) return { edges: 0, value: 0, edge: null };
  return { edges: tile.edges[at], value: tile.value[at], edge: tile.edge && tile.edge[at] };
}

/** Whether all that is to be said of a cell is here. */
export function isKnown(scene: Scene, cell: Region): boolean {
  const { names, layer } = scene;
  const isAwaited =
    names.awaits("rows", layer.order, cell.top) || names.awaits("columns", layer.order, cell.left);
  return cellIn(scene, cell) !== undefined && !isAwaited;
}

/**
 * A cell in words: "target repair, source TP53: 1 edge, weight 0.41"; in another order than the
 * given one, "rows 0 to 15, columns 0 to 15: 9 edges".
 */
export function described(scene: Scene, cell: Region): string {
  const { meta, layer } = scene;
  const rows = ends(scene, "rows", cell.top, cell.bottom);
  const where = `${rows}, ${ends(scene, "columns", cell.left, cell.right)}`;
  const found = cellIn(scene, cell);
  if (!found) return `${where}: not here yet`;
  if (found.edges === 0) return `${where}: no edge`;
  const edges = counted(found.edges, "edge");
  if (layer.value === "count") return `${where}: ${edges}`;
  const label = meta.values.find(({ key }) => key === layer.value)?.label ?? layer.value;
  const said = found.edges === 1 ? label.replace(/^mean /, "") : label;
  return `${where}: ${edges}, ${said} ${figure(found.value)}`;
}

function ends({ names, layer }: Scene, axis: Axis, from: number, to: number): string {
  const isGiven = layer.order === "given"; // where nodes stand in the order of their numbers
  if (to - from > 1) return `${wordOf(axis, isGiven)}s ${count(from)} to ${count(to - 1)}`;
  const name = names.get(axis, layer.order, from);
  return `${wordOf(axis, isGiven || name !== undefined)} ${name ?? count(from)}`;
}

/** The next cell in a direction that has edges, among the tiles that are seen. */
export function nextFilled(
  scene: Scene,
  from: Region,
  down: number,
  across: number,
): Region | null {
  const { meta, level, layer, tiles, region } = scene;
  const [rows, columns] = meta.spans[level];
  const [row, column] = [Math.floor(from.top / rows), Math.floor(from.left / columns)];
  let nearest = Infinity;
  for (const spot of tilesIn(meta, level, region)) {
    const tile = tiles.get(layer, spot);
    for (const cell of tile?.cell ?? []) {
      const below = spot.row * meta.tile + Math.floor(cell / (tile?.columns ?? 1)) - row;
      const right = spot.column * meta.tile + (cell % (tile?.columns ?? 1)) - column;
      const isOnTheWay = down === 0 ? below === 0 : right === 0;
      const steps = below * down + right * across;
      if (isOnTheWay && steps > 0) nearest = Math.min(nearest, steps);
    }
  }
  if (nearest === Infinity) return null;
  return cellAt(meta, level, (row + down * nearest) * rows, (column + across * nearest) * columns);
}
