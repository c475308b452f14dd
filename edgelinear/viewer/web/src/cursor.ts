/** The cursor of the matrix: what keys move, and the rectangles that they draw. */

import { nextFilled } from "./cells";
import type { Linked } from "./linked";
import type { Region } from "./protocol";
import { cellAt, centre, moved, spanned } from "./region";
import type { Scene } from "./scene";

const ARROWS: Record<string, [down: number, across: number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

export class Cursor {
  cell: Region | null = null;
  rectangle: Region | null = null;
  private anchor: Region | null = null; // where a rectangle of keys begins

  constructor(
    private readonly linked: Linked,
    private readonly scene: () => Scene,
  ) {}

  /** Move by an arrow key. Returns false for other keys. */
  press(event: KeyboardEvent): boolean {
    const by = ARROWS[event.key];
    if (by) this.step(...by, event);
    return by !== undefined;
  }

  private step(down: number, across: number, { shiftKey, ctrlKey, metaKey }: KeyboardEvent): void {
    const scene = this.scene();
    const { meta, level, region } = scene;
    const { row, column } = centre(this.cell ?? region);
    const from = cellAt(meta, level, row, column);
    if (!from) return;
    const [rows, columns] = meta.spans[level];
    const next =
      ctrlKey || metaKey
        ? nextFilled(scene, from, down, across)
        : cellAt(meta, level, from.top + down * rows, from.left + across * columns);
    // The first key shows where it is.
    const to = (this.cell && next) ?? from;
    this.cell = to;
    if (shiftKey) {
      this.anchor ??= from;
      this.rectangle = spanned(this.anchor, to);
    } else this.drop();
    this.follow(to);
  }

  /** Have no rectangle any more. */
  drop(): void {
    this.anchor = this.rectangle = null;
  }

  /** Stand on a cell of the level that is now shown. */
  snap(): void {
    if (!this.cell) return;
    const { meta, level } = this.scene();
    const { row, column } = centre(this.cell);
    this.cell = cellAt(meta, level, row, column);
  }

  /** Move what is seen until a cell is. */
  private follow(cell: Region): void {
    const { region } = this.linked.shown;
    const beyond = (start: number, end: number, from: number, to: number) =>
      start < from ? start - from : end > to ? end - to : 0;
    const rows = beyond(cell.top, cell.bottom, region.top, region.bottom);
    const columns = beyond(cell.left, cell.right, region.left, region.right);
    this.linked.set({ region: moved(region, rows, columns, this.linked.meta) });
  }
}
