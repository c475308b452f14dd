/** The matrix: targets down, sources across, zoomed from the whole to single edges. */

import { THEMES } from "./colours";
import { Cursor } from "./cursor";
import { button, make, newId, sentence, setAttribute } from "./dom";
import { draw } from "./draw";
import { listen, type Gestures, type Spot } from "./gestures";
import type { Linked } from "./linked";
import type { Region } from "./protocol";
import { Readout } from "./readout";
import { cellAt, centre, levelFor, moved, spanned, tilesIn, whole, zoomed } from "./region";
import type { Plot, Scene } from "./scene";
import { Selection } from "./selection";
import type { Source } from "./source";
import { Names, Tiles } from "./tiles";

const KEYS =
  "Arrow keys move a cursor from cell to cell, with Control to the next one that has edges, with " +
  "Shift to draw a rectangle. Plus and minus zoom, Home shows all, Enter selects the edges.";
const STEP = 1.6; // of a zoom by a key or a button

export class MatrixPane {
  readonly element: HTMLElement;
  private readonly canvas = make("canvas", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": "zoomable matrix",
    "aria-label": "Matrix of connections, targets down and sources across",
  });
  private readonly readout: Readout;
  private readonly toSelection = button("To selection", () => this.show(this.selection.region), {
    disabled: true,
    title: "Show where what is selected stands",
  });
  private readonly drawing = button("Rectangle", () => this.toggleDrawing(), {
    "aria-pressed": "false",
    title: "Drag to select the edges of a rectangle",
  });
  private readonly tiles: Tiles;
  private readonly names: Names;
  private readonly selection: Selection;
  private readonly cursor: Cursor;
  private hovered: Spot | null = null;
  private isDue = false;
  private hasKeys = false; // and no pointer, under which the cell needs no cursor
  private frames = 0;

  constructor(
    source: Source,
    private readonly linked: Linked,
    say: (text: string) => void,
    signal: AbortSignal,
  ) {
    const { meta } = linked;
    const due = () => this.due();
    this.readout = new Readout(say);
    const tell = (text: string) => {
      this.readout.tell(text);
      due();
    };
    this.tiles = new Tiles(source, meta, due, (error) => tell(sentence(error)));
    this.names = new Names(source, meta, due);
    this.cursor = new Cursor(linked, () => this.scene());
    this.selection = new Selection(source, linked, tell, () => {
      setAttribute(this.toSelection, "disabled", this.selection.isEmpty);
      due();
    });
    this.element = this.layOut();
    listen(this.canvas, this.gestures(), signal);
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.canvas.addEventListener("pointerdown", () => {
      this.hasKeys = false;
    });
    this.canvas.addEventListener("focus", due);
    this.canvas.addEventListener("blur", due);
    const size = new ResizeObserver(due);
    size.observe(this.canvas);
    signal.addEventListener("abort", () => size.disconnect());
    linked.watch(["region", "order", "value", "dark"], due);
  }

  private layOut(): HTMLElement {
    const keys = make("p", { class: "unseen", id: newId("keys") }, KEYS);
    this.canvas.setAttribute("aria-describedby", keys.id);
    const tools = make(
      "div",
      { class: "tools", role: "group", "aria-label": "Zoom and selection in the matrix" },
      button("+", () => this.zoom(1 / STEP), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
      button("−", () => this.zoom(STEP), { "aria-label": "Zoom out", title: "Zoom out (−)" }),
      button("Whole", () => this.show(whole(this.linked.meta)), {
        title: "Show the whole matrix (Home)",
      }),
      this.toSelection,
      this.drawing,
    );
    const heading = make("h3", { id: newId("matrix") }, "Matrix");
    const head = make("div", { class: "head" }, heading, tools);
    const attributes = { class: "pane matrix", "aria-labelledby": heading.id };
    return make("section", attributes, head, this.canvas, this.readout.element, keys);
  }

  /** Draw in the next frame, once. */
  private due(): void {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  private get plot(): Plot {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const x = Math.round(this.names.room("rows", 56, Math.min(132, width * 0.24)));
    const y = Math.round(this.names.room("columns", 44, Math.min(96, height * 0.22)));
    return { x, y, width: Math.max(width - x - 2, 1), height: Math.max(height - y - 2, 1) };
  }

  private scene(): Scene {
    const { meta, shown } = this.linked;
    const { region, order, value, dark } = shown;
    const plot = this.plot;
    const layer = { order, value };
    let level = levelFor(meta, region, plot.width, plot.height);
    // A page that was saved has the first levels alone.
    while (level > 0 && this.tiles.lacks(layer, tilesIn(meta, level, region))) level--;
    return {
      meta,
      plot,
      region,
      layer,
      level,
      theme: THEMES[dark ? "dark" : "light"],
      dark,
      tiles: this.tiles,
      names: this.names,
      marks: this.selection.marks,
      cursor: this.hasKeys && this.canvas.matches(":focus") ? this.cursor.cell : null,
      rectangle: this.cursor.rectangle,
    };
  }

  private draw(): void {
    const { clientWidth, clientHeight } = this.canvas;
    const context = this.canvas.getContext("2d");
    if (clientWidth === 0 || !context) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scene = this.scene();
    const { meta, region, layer, level } = scene;
    const all = meta.rows > 0 && meta.columns > 0 ? [{ level: 0, row: 0, column: 0 }] : [];
    this.tiles.want(layer, [...all, ...tilesIn(meta, level, region)]);
    const drawn = draw(context, scene);
    const { x, y, width: wide, height: high } = scene.plot;
    Object.assign(this.canvas.dataset, {
      frames: String(++this.frames),
      tiles: String(drawn),
      level: String(level),
      awaited: String(this.tiles.awaited),
      plot: [x, y, wide, high].join(" "),
    });
    const pointed = this.hovered && this.cellOf(this.hovered, scene);
    this.readout.show(scene, pointed ?? scene.cursor, this.cursor.cell);
    this.linked.set({ most: this.tiles.most(layer, level) });
  }

  private gestures(): Gestures {
    const { linked, cursor } = this;
    const { meta } = linked;
    return {
      drawsRectangles: () => this.drawing.ariaPressed === "true",
      hover: (place) => {
        this.hovered = place;
        this.due();
      },
      pan: (across, down) => {
        const { region } = linked.shown;
        const { width, height } = this.plot;
        const rows = (-down * (region.bottom - region.top)) / height;
        const columns = (-across * (region.right - region.left)) / width;
        linked.set({ region: moved(region, rows, columns, meta) });
      },
      zoom: (factor, at) => this.zoom(factor, at),
      tap: (at) => {
        const scene = this.scene();
        cursor.cell = this.cellOf(at, scene);
        if (cursor.cell) void this.selection.choose(scene, cursor.cell);
      },
      rectangle: (from, to, isDone) => {
        const [one, other] = [this.nodeAt(from), this.nodeAt(to)];
        cursor.rectangle = one && other && spanned(one, other);
        if (isDone) void this.choose();
        this.due();
      },
    };
  }

  private press(event: KeyboardEvent): void {
    this.hasKeys = true;
    if (this.cursor.press(event)) this.readout.isSaying = true;
    else if (event.key === "+" || event.key === "=") this.zoom(1 / STEP);
    else if (event.key === "-" || event.key === "_") this.zoom(STEP);
    else if (event.key === "Home") this.show(whole(this.linked.meta));
    else if (event.key === "Enter" || event.key === " ") void this.choose();
    else if (event.key === "Escape" && this.cursor.rectangle) this.cursor.drop();
    else return;
    event.preventDefault();
    this.due();
  }

  /** Select the edges of the rectangle, or else of the cell at the cursor. */
  private async choose(): Promise<void> {
    const { rectangle, cell } = this.cursor;
    if (rectangle) await this.selection.select(rectangle);
    else if (cell) await this.selection.choose(this.scene(), cell);
    // Another one may have been begun meanwhile.
    if (this.cursor.rectangle === rectangle) this.cursor.drop();
    this.due();
  }

  /** Show `factor` times as much around a place, or else around the cursor. */
  private zoom(factor: number, at?: Spot): boolean {
    const { meta, shown } = this.linked;
    const { region } = shown;
    const { row, column } = at ? this.placeOf(at) : centre(this.cursor.cell ?? region);
    const next = zoomed(region, factor, row, column, meta);
    const isOther = JSON.stringify(next) !== JSON.stringify(region);
    if (at) this.linked.set({ region: next });
    else this.show(next);
    return isOther;
  }

  private show(region: Region): void {
    this.linked.set({ region });
    this.cursor.snap();
    this.readout.isSaying = true;
    this.due();
  }

  private toggleDrawing(): void {
    this.drawing.ariaPressed = String(this.drawing.ariaPressed !== "true");
  }

  private placeOf(at: Spot): { row: number; column: number } {
    const { region } = this.linked.shown;
    const { x, y, width, height } = this.plot;
    return {
      row: region.top + ((at.y - y) / height) * (region.bottom - region.top),
      column: region.left + ((at.x - x) / width) * (region.right - region.left),
    };
  }

  private cellOf(at: Spot, { meta, level, plot }: Scene): Region | null {
    if (at.x < plot.x || at.y < plot.y) return null;
    const { row, column } = this.placeOf(at);
    return cellAt(meta, level, row, column);
  }

  /** One node by one node, the nearest to a place. */
  private nodeAt(at: Spot): Region | null {
    const { meta } = this.linked;
    const { row, column } = this.placeOf(at);
    const near = (place: number, size: number) => Math.min(Math.max(place, 0), size - 1);
    return cellAt(meta, meta.depth - 1, near(row, meta.rows), near(column, meta.columns));
  }
}
