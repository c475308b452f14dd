/** What the pointer or the cursor of the matrix is on, in words: written below it, and said. */

import { described, isKnown } from "./cells";
import { make } from "./dom";
import type { Region } from "./protocol";
import type { Scene } from "./scene";

const HINT = "Wheel or pinch to zoom, drag to move, Shift and drag to select, click for a cell.";

export class Readout {
  readonly element = make("p", { class: "readout" }, HINT);
  /** Whether the cell at the cursor is to be said, until all of it is known. */
  isSaying = false;
  private saidOfPart = ""; // what was said while not all was known
  private told = "";
  private toldOf: string | undefined; // the cell on which it is written

  constructor(private readonly say: (text: string) => void) {}

  /** Say what was done, and write it until another cell is looked at. */
  tell(text: string): void {
    this.told = text;
    this.toldOf = undefined; // which the next frame knows
    this.say(text);
  }

  show(scene: Scene, cell: Region | null, cursor: Region | null): void {
    if (this.told && this.toldOf === undefined) this.toldOf = JSON.stringify(cell);
    const isOther = cell !== null && JSON.stringify(cell) !== this.toldOf;
    this.element.textContent = isOther ? described(scene, cell) : this.told || HINT;
    if (!this.isSaying || !cursor) return;
    const words = described(scene, cursor);
    if (words !== this.saidOfPart) this.say(words);
    this.isSaying = !isKnown(scene, cursor);
    this.saidOfPart = this.isSaying ? words : "";
  }
}
