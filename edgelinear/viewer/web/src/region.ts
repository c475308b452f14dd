/** What is seen of a matrix, and the cells of its levels: arithmetic alone. */

import type { Meta, Region } from "./protocol";

type Sizes = Pick<Meta, "rows" | "columns">;
type Levels = Sizes & Pick<Meta, "depth" | "tile" | "spans">;

const FEWEST = { rows: 6, columns: 4 }; // seen at once: a cell is no larger than can be taken in
const SMALLEST_CELL = 1.5; // pixels

export function whole({ rows, columns }: Sizes): Region {
  return { top: 0, left: 0, bottom: Math.max(rows, 1), right: Math.max(columns, 1) };
}

/** A region moved, and cut down where it is larger, to lie within the matrix. */
export function clamped(region: Region, { rows, columns }: Sizes): Region {
  const [top, bottom] = within(region.top, region.bottom, Math.max(rows, 1), FEWEST.rows);
  const [left, right] = within(region.left, region.right, Math.max(columns, 1), FEWEST.columns);
  return { top, left, bottom, right };
}

function within(from: number, to: number, size: number, fewest: number): [number, number] {
  const length = Math.min(Math.max(to - from, Math.min(fewest, size)), size);
  const centred = to - from < length ? (from + to - length) / 2 : from;
  const start = Math.min(Math.max(centred, 0), size - length);
  return [start, start + length];
}

/** A region `factor` times as long, in which one point keeps its place. */
export function zoomed(
  region: Region,
  factor: number,
  row: number,
  column: number,
  sizes: Sizes,
): Region {
  const [top, bottom] = scaled(region.top, region.bottom, factor, row, sizes.rows, FEWEST.rows);
  const [left, right] = scaled(
    region.left,
    region.right,
    factor,
    column,
    sizes.columns,
    FEWEST.columns,
  );
  return clamped({ top, left, bottom, right }, sizes);
}

function scaled(
  from: number,
  to: number,
  factor: number,
  kept: number,
  size: number,
  fewest: number,
): [number, number] {
  const length = Math.min(
    Math.max((to - from) * factor, Math.min(fewest, size)),
    Math.max(size, 1),
  );
  const start = kept - ((kept - from) / (to - from)) * length;
  return [start, start + length];
}

export function moved(region: Region, rows: number, columns: number, sizes: Sizes): Region {
  const { top, left, bottom, right } = region;
  return clamped(
    { top: top + rows, bottom: bottom + rows, left: left + columns, right: right + columns },
    sizes,
  );
}

/** A region around cells, with room for what is near them. */
export function around(rows: number[], columns: number[], sizes: Sizes): Region {
  const [top, bottom] = stretch(rows, sizes.rows);
  const [left, right] = stretch(columns, sizes.columns);
  return clamped({ top, bottom, left, right }, sizes);
}

function stretch(places: number[], size: number): [number, number] {
  const known = places.filter((place) => place >= 0);
  if (known.length === 0) return [0, size];
  // Not by spreading them as arguments, of which there may be too many.
  const least = known.reduce((a, b) => Math.min(a, b));
  const most = known.reduce((a, b) => Math.max(a, b)) + 1;
  const room = Math.max((most - least) * 0.08, 12);
  return [least - room, most + room];
}

/** A region with both of two cells in it, as a rectangle of whole rows and columns. */
export function spanned(one: Region, other: Region): Region {
  return {
    top: Math.min(one.top, other.top),
    left: Math.min(one.left, other.left),
    bottom: Math.max(one.bottom, other.bottom),
    right: Math.max(one.right, other.right),
  };
}

/** The finest level whose cells can be told apart where a region fills so many pixels. */
export function levelFor(levels: Levels, region: Region, width: number, height: number): number {
  for (let level = levels.depth - 1; level > 0; level--) {
    const [rows, columns] = levels.spans[level];
    const down = (rows / (region.bottom - region.top)) * height;
    const across = (columns / (region.right - region.left)) * width;
    if (down >= SMALLEST_CELL && across >= SMALLEST_CELL) return level;
  }
  return 0;
}

/** The tiles of a level that a region touches. */
export function tilesIn(
  levels: Levels,
  level: number,
  region: Region,
): { level: number; row: number; column: number }[] {
  const [rows, columns] = levels.spans[level].map((length) => length * levels.tile);
  const last = (size: number, length: number, end: number) =>
    Math.min(Math.ceil(end / length), Math.ceil(size / length)) - 1;
  const found = [];
  for (
    let row = Math.floor(region.top / rows);
    row <= last(levels.rows, rows, region.bottom);
    row++
  ) {
    for (
      let column = Math.floor(region.left / columns);
      column <= last(levels.columns, columns, region.right);
      column++
    ) {
      found.push({ level, row, column });
    }
  }
  return found;
}

/** The cell of a level in which a point lies, as the region of the nodes that it joins. */
export function cellAt(levels: Levels, level: number, row: number, column: number): Region | null {
  if (row < 0 || column < 0 || row >= levels.rows || column >= levels.columns) return null;
  const [rows, columns] = levels.spans[level];
  const top = Math.floor(row / rows) * rows;
  const left = Math.floor(column / columns) * columns;
  return {
    top,
    left,
    bottom: Math.min(top + rows, levels.rows),
    right: Math.min(left + columns, levels.columns),
  };
}

export function centre({ top, bottom, left, right }: Region): { row: number; column: number } {
  return { row: (top + bottom) / 2, column: (left + right) / 2 };
}
