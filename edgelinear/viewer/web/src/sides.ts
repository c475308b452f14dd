/** What is written along the sides of the matrix. */

import { count } from "./dom";
import type { Axis } from "./protocol";
import { across, down, FONT, NAMES, nodeSize, wordOf, type Scene } from "./scene";

const GAP = 7;

/** What rows and columns are, in the corner between them. */
export function drawCorner(context: CanvasRenderingContext2D, scene: Scene): void {
  const { plot, theme, layer } = scene;
  const word = (axis: Axis) =>
    wordOf(axis, layer.order === "given" || nodeSize(scene, axis) >= NAMES);
  context.font = `11px ${FONT}`;
  context.fillStyle = theme.muted;
  context.textBaseline = "alphabetic";
  context.textAlign = "right";
  context.fillText(`${word("columns")} →`, plot.x - GAP, 11);
  context.textAlign = "left";
  context.fillText(`${word("rows")} ↓`, 0, plot.y - GAP);
}

/** Names along a side, or numbers of rows or columns where there is no room for them. */
export function drawSide(context: CanvasRenderingContext2D, scene: Scene, axis: Axis): void {
  const { plot, region, theme, marks } = scene;
  const isRows = axis === "rows";
  const length = nodeSize(scene, axis);
  const [from, to] = isRows ? [region.top, region.bottom] : [region.left, region.right];
  const place = (at: number) => (isRows ? down(scene, at + 0.5) : across(scene, at + 0.5));
  const marked = new Set(marks.nodes.map(([row, column]) => (isRows ? row : column)));
  context.font = `11px ${FONT}`;
  context.textBaseline = "middle";
  if (length < NAMES) {
    const step = stepFor(to - from, isRows ? plot.height / 44 : plot.width / 74);
    context.fillStyle = theme.muted;
    context.strokeStyle = theme.muted;
    context.textAlign = isRows ? "right" : "center";
    for (let at = Math.ceil(from / step) * step; at < to - 0.5; at += step) {
      if (isRows) {
        context.fillRect(plot.x - 5, Math.round(place(at)), 4, 1);
        context.fillText(count(at), plot.x - GAP - 1, place(at));
      } else {
        context.fillRect(Math.round(place(at)), plot.y - 5, 1, 4);
        context.fillText(count(at), place(at), plot.y - GAP - 6);
      }
    }
    return;
  }
  const room = (isRows ? plot.x : plot.y) - GAP - 2;
  const names = seen(scene, axis, from, to);
  const isWide = ([, name]: [number, string]) => context.measureText(name).width > length - 8;
  const isTurned = !isRows && names.some(isWide);
  for (const [at, name] of names) {
    context.fillStyle = marked.has(at) ? theme.mark : theme.ink;
    context.save();
    context.translate(isRows ? plot.x - GAP : place(at), isRows ? place(at) : plot.y - GAP - 1);
    if (isTurned) context.rotate(-Math.PI / 2);
    context.textAlign = isRows ? "right" : isTurned ? "left" : "center";
    context.textBaseline = isRows || isTurned ? "middle" : "alphabetic";
    context.fillText(fitted(context, name, room), 0, 0);
    context.restore();
  }
}

/** The names that are known of the rows or columns whose middles are seen. */
function seen(scene: Scene, axis: Axis, from: number, to: number): [at: number, name: string][] {
  const found: [number, string][] = [];
  for (let at = Math.max(Math.floor(from + 0.5), 0); at < Math.ceil(to - 0.5); at++) {
    const name = scene.names.get(axis, scene.layer.order, at);
    if (name !== undefined) found.push([at, name]);
  }
  return found;
}

/** A round step with at most so many of them in a length. */
export function stepFor(length: number, most: number): number {
  const least = length / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= least) ?? 10 * power;
}

const fits = new Map<string, string>();

/** A name that takes no more than some pixels: of a longer one, its beginning and its end. */
function fitted(context: CanvasRenderingContext2D, name: string, room: number): string {
  const key = `${Math.round(room)} ${name}`;
  let text = fits.get(key);
  if (text === undefined) {
    const letters = [...name]; // not halves of those that are two units long
    text = name;
    for (let kept = Math.min(letters.length - 1, 80); kept > 1; kept--) {
      if (context.measureText(text).width <= room) break;
      const end = Math.floor(kept / 3);
      text = [...letters.slice(0, kept - end), "…", ...letters.slice(letters.length - end)].join(
        "",
      );
    }
    if (fits.size > 5000) fits.clear();
    fits.set(key, text);
  }
  return text;
}
