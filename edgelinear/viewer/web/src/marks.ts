/** What is marked on the cells: what is selected, the cursor, a rectangle that is drawn. */

import type { Axis, Region } from "./protocol";
import { across, cellSize, down, nodeSize, type Scene } from "./scene";

/** Draw what lies under the cells, whose colours it leaves: bands of nodes that are selected. */
export function drawBands(context: CanvasRenderingContext2D, scene: Scene): void {
  context.fillStyle = scene.theme.mark;
  context.globalAlpha = 0.16;
  for (const [axis, at] of ends(scene)) band(context, scene, axis, at, nodeSize(scene, axis));
  context.globalAlpha = 1;
}

/** Draw cross hairs for nodes, outlines for edges, and the rectangle and the cursor. */
export function drawMarks(context: CanvasRenderingContext2D, scene: Scene): void {
  const { marks, theme, region } = scene;
  const { width, height } = cellSize(scene);
  context.fillStyle = theme.mark;
  context.globalAlpha = 0.8;
  for (const [axis, at] of ends(scene)) {
    const size = nodeSize(scene, axis);
    const isWide = size > 3; // and has a line on either side
    const middles = isWide ? [at - 0.5 + 0.5 / size, at + 0.5 - 0.5 / size] : [at];
    for (const middle of middles)
      band(context, scene, axis, middle, isWide ? 1 : Math.max(size, 1));
  }
  context.globalAlpha = 1;
  context.beginPath();
  const [wide, high] = [Math.max(width, 5), Math.max(height, 5)];
  marks.rows.forEach((row, at) => {
    const column = marks.columns[at];
    if (row < region.top - 1 || row > region.bottom) return;
    if (column < region.left - 1 || column > region.right) return;
    const [x, y] = [across(scene, column + 0.5), down(scene, row + 0.5)];
    context.rect(x - wide / 2, y - high / 2, wide, high);
  });
  outline(context, theme.panel, 3.5);
  outline(context, theme.mark, 1.5);
  if (scene.rectangle) {
    context.fillStyle = theme.mark;
    context.globalAlpha = 0.12;
    frame(context, scene, scene.rectangle);
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash([5, 3]);
    outline(context, theme.mark, 1.5);
    context.setLineDash([]);
  }
  if (scene.cursor) {
    frame(context, scene, scene.cursor);
    outline(context, theme.panel, 4);
    outline(context, theme.ink, 2);
  }
}

function outline(context: CanvasRenderingContext2D, colour: string, width: number): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function frame(context: CanvasRenderingContext2D, scene: Scene, area: Region): void {
  const [x, y] = [across(scene, area.left), down(scene, area.top)];
  const width = Math.max(across(scene, area.right) - x, 4);
  const height = Math.max(down(scene, area.bottom) - y, 4);
  context.beginPath();
  context.rect(x, y, width, height);
}

/** The rows and the columns of nodes that are selected. */
function ends({ marks }: Scene): [Axis, number][] {
  const all = marks.nodes.flatMap<[Axis, number]>(([row, column]) => [
    ["rows", row],
    ["columns", column],
  ]);
  return all.filter(([, at]) => at >= 0);
}

/** Fill a row or a column around the middle of a place. */
function band(
  context: CanvasRenderingContext2D,
  scene: Scene,
  axis: Axis,
  at: number,
  thickness: number,
): void {
  const { plot } = scene;
  if (axis === "rows") {
    context.fillRect(plot.x, down(scene, at + 0.5) - thickness / 2, plot.width, thickness);
  } else {
    context.fillRect(across(scene, at + 0.5) - thickness / 2, plot.y, thickness, plot.height);
  }
}
