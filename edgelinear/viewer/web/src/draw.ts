/** One frame of the matrix: cells, what is marked on them, names and numbers along the sides. */

import { scaleOf } from "./colours";
import { count, figure } from "./dom";
import { drawMargins } from "./margins";
import { drawBands, drawMarks } from "./marks";
import type { Region } from "./protocol";
import { tilesIn } from "./region";
import { across, cellSize, down, FONT, placeOf, type Scene } from "./scene";
import { drawCorner, drawSide } from "./sides";
import { paletteOf, type Spot, type Tile } from "./tiles";

const LINES = 9; // pixels of a cell from which on lines part it from its neighbours
const NUMBER = { width: 46, height: 17 }; // and from which on its number is written

/** Draw a scene, and return the number of tiles that it took. */
export function draw(context: CanvasRenderingContext2D, scene: Scene): number {
  const { plot, theme } = scene;
  context.clearRect(0, 0, plot.x + plot.width + 2, plot.y + plot.height + 2);
  context.save();
  context.beginPath();
  context.rect(plot.x, plot.y, plot.width, plot.height);
  context.clip();
  context.imageSmoothingEnabled = false;
  drawBands(context, scene);
  const drawn = drawCells(context, scene);
  drawLines(context, scene);
  drawNumbers(context, scene);
  drawMarks(context, scene);
  context.restore();
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(plot.x - 0.5, plot.y - 0.5, plot.width + 1, plot.height + 1);
  drawMargins(context, scene);
  drawSide(context, scene, "rows");
  drawSide(context, scene, "columns");
  drawCorner(context, scene);
  return drawn;
}

/** Draw the tiles of the level; where one is not here yet, what a coarser one has of its place. */
function drawCells(context: CanvasRenderingContext2D, scene: Scene): number {
  const { meta, region, layer, tiles } = scene;
  let drawn = 0;
  for (const { row, column } of tilesIn(meta, scene.level, region)) {
    const [rows, columns] = meta.spans[scene.level];
    const part = {
      top: Math.max(row * rows * meta.tile, region.top),
      bottom: Math.min((row + 1) * rows * meta.tile, region.bottom, meta.rows),
      left: Math.max(column * columns * meta.tile, region.left),
      right: Math.min((column + 1) * columns * meta.tile, region.right, meta.columns),
    };
    for (let level = scene.level; level >= 0; level--) {
      const [high, wide] = meta.spans[level];
      const spot = {
        level,
        row: Math.floor((row * rows) / high),
        column: Math.floor((column * columns) / wide),
      };
      const tile = tiles.get(layer, spot);
      if (!tile) continue;
      paint(context, scene, tile, spot, part);
      drawn++;
      break;
    }
  }
  return drawn;
}

function paint(
  context: CanvasRenderingContext2D,
  scene: Scene,
  tile: Tile,
  place: Spot,
  part: Region,
): void {
  const { meta, tiles, layer, dark } = scene;
  const [rows, columns] = meta.spans[place.level];
  const top = part.top / rows - place.row * meta.tile;
  const left = part.left / columns - place.column * meta.tile;
  const height = Math.min(part.bottom / rows - place.row * meta.tile, tile.rows) - top;
  const width = Math.min(part.right / columns - place.column * meta.tile, tile.columns) - left;
  if (!(height > 0 && width > 0)) return;
  const image = tiles.image(tile, layer, dark);
  const [x, y] = [across(scene, part.left), down(scene, part.top)];
  context.drawImage(
    image,
    left,
    top,
    width,
    height,
    x,
    y,
    across(scene, part.right) - x,
    down(scene, part.bottom) - y,
  );
}

/** Lines between nodes, where they are large enough to be told apart. */
function drawLines(context: CanvasRenderingContext2D, scene: Scene): void {
  const { plot, region, theme } = scene;
  const { width, height } = cellSize(scene);
  context.beginPath();
  if (height >= LINES) {
    for (let row = Math.ceil(region.top); row < region.bottom; row++) {
      const y = Math.round(down(scene, row)) + 0.5;
      context.moveTo(plot.x, y);
      context.lineTo(plot.x + plot.width, y);
    }
  }
  if (width >= LINES) {
    for (let column = Math.ceil(region.left); column < region.right; column++) {
      const x = Math.round(across(scene, column)) + 0.5;
      context.moveTo(x, plot.y);
      context.lineTo(x, plot.y + plot.height);
    }
  }
  context.strokeStyle = theme.wash;
  context.lineWidth = 1;
  context.stroke();
}

/** The numbers of cells, where there is room to write them. */
function drawNumbers(context: CanvasRenderingContext2D, scene: Scene): void {
  const { meta, region, layer, tiles, dark } = scene;
  const { width, height } = cellSize(scene);
  if (width < NUMBER.width || height < NUMBER.height) return;
  if (scene.level < meta.depth - 1) return;
  context.font = `11px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const place of tilesIn(meta, scene.level, region)) {
    const tile = tiles.get(layer, place);
    if (!tile) continue;
    const scale = scaleOf(layer.value, meta.signed.includes(layer.value), tile.most);
    const palette = paletteOf(scale.kind, dark);
    for (const [row, column, at] of cellsIn(tile, place, meta.tile, region)) {
      const value = tile.value[at];
      context.fillStyle = palette.ink(scale, value);
      const text = layer.value === "count" ? count(value) : figure(value);
      context.fillText(text, across(scene, column + 0.5), down(scene, row + 0.5));
    }
  }
}

/** The cells of a tile of the deepest level that lie in a region, as row, column and position. */
function* cellsIn(
  tile: Tile,
  place: Spot,
  size: number,
  region: Region,
): Generator<[row: number, column: number, at: number]> {
  const [top, left] = [place.row * size, place.column * size];
  const first = Math.max(Math.floor(region.left) - left, 0);
  const last = Math.min(Math.ceil(region.right) - left, tile.columns);
  const end = Math.min(Math.ceil(region.bottom) - top, tile.rows);
  for (let row = Math.max(Math.floor(region.top) - top, 0); row < end; row++) {
    let at = placeOf(tile.cell, row * tile.columns + first);
    for (; at < tile.cell.length && tile.cell[at] < row * tile.columns + last; at++) {
      yield [top + row, left + (tile.cell[at] % tile.columns), at];
    }
  }
}
