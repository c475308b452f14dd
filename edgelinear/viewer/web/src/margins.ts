/** How many edges each row and each column has of those that are seen, as bars along the sides. */

import { count } from "./dom";
import type { Axis } from "./protocol";
import { tilesIn } from "./region";
import { across, down, FONT, NAMES, nodeSize, type Scene } from "./scene";

const TICKS = { rows: 52, columns: 24 }; // pixels between bars and cells, where numbers stand
const LEAST = 12; // pixels below which bars tell nothing

/** The edges of each row, or of each column, of cells, from the first one that is seen on. */
interface Degrees {
  start: number;
  edges: Float64Array;
}

/** Draw bars along the sides where no names are, the root of the number long. */
export function drawMargins(context: CanvasRenderingContext2D, scene: Scene): void {
  const axes = (["rows", "columns"] as const).filter(
    (axis) => nodeSize(scene, axis) < NAMES && roomOf(scene, axis) >= LEAST,
  );
  if (axes.length === 0) return;
  const found = degrees(scene);
  for (const axis of axes) drawBars(context, scene, axis, found[axis]);
}

function roomOf({ plot }: Scene, axis: Axis): number {
  return (axis === "rows" ? plot.x : plot.y - 14) - TICKS[axis];
}

function degrees({ meta, level, region, layer, tiles }: Scene): Record<Axis, Degrees> {
  const [high, wide] = meta.spans[level];
  const top = Math.floor(region.top / high);
  const left = Math.floor(region.left / wide);
  const rows = new Float64Array(Math.ceil(region.bottom / high) - top);
  const columns = new Float64Array(Math.ceil(region.right / wide) - left);
  for (const spot of tilesIn(meta, level, region)) {
    const tile = tiles.get(layer, spot);
    if (!tile) continue;
    const [above, before] = [spot.row * meta.tile - top, spot.column * meta.tile - left];
    for (let at = 0; at < tile.cell.length; at++) {
      const row = above + Math.floor(tile.cell[at] / tile.columns);
      const column = before + (tile.cell[at] % tile.columns);
      // Beyond what is seen these are no places of the arrays.
      if (row < 0 || row >= rows.length || column < 0 || column >= columns.length) continue;
      rows[row] += tile.edges[at];
      columns[column] += tile.edges[at];
    }
  }
  return { rows: { start: top, edges: rows }, columns: { start: left, edges: columns } };
}

function drawBars(
  context: CanvasRenderingContext2D,
  scene: Scene,
  axis: Axis,
  { start, edges }: Degrees,
): void {
  const { plot, meta, level, theme } = scene;
  const isRows = axis === "rows";
  const most = edges.reduce((a, b) => Math.max(a, b), 0);
  if (most === 0) return;
  const room = roomOf(scene, axis) - 2;
  const span = meta.spans[level][isRows ? 0 : 1];
  const place = isRows ? down : across;
  const [first, last] = isRows ? [plot.y, plot.y + plot.height] : [plot.x, plot.x + plot.width];
  const foot = (isRows ? plot.x : plot.y) - TICKS[axis];
  context.fillStyle = theme.bar;
  edges.forEach((number, at) => {
    const length = Math.sqrt(number / most) * room;
    const from = Math.max(place(scene, (start + at) * span), first);
    const to = Math.min(place(scene, (start + at + 1) * span), last);
    if (isRows) context.fillRect(foot - length, from, length, to - from);
    else context.fillRect(from, foot - length, to - from, length);
  });
  context.font = `10px ${FONT}`;
  context.fillStyle = theme.muted;
  context.textAlign = isRows ? "left" : "right";
  context.textBaseline = "alphabetic";
  const text = `≤ ${count(most)}`;
  if (isRows) context.fillText(text, 0, plot.y - 20);
  else context.fillText(text, plot.x - 8, 24);
}
