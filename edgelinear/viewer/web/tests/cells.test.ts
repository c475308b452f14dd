import assert from "node:assert/strict";
import test from "node:test";
import { described } from "../src/cells";
import { THEMES } from "../src/colours";
import type { Scene } from "../src/scene";
import { drawCorner } from "../src/sides";

/** A matrix of cells of 16 nodes a side, and of single ones, in an order; nodes have these names. */
function scene(level: number, order: string, names: Record<number, string> = {}): Scene {
  const tile = {
    columns: 188,
    cell: Uint32Array.of(0),
    value: Float64Array.of(9),
    edges: Uint32Array.of(9),
    edge: null,
  };
  return {
    meta: {
      rows: 3000,
      columns: 3000,
      tile: 256,
      spans: [
        [16, 16],
        [1, 1],
      ],
    },
    level,
    layer: { order, value: "count" },
    tiles: { get: () => tile },
    names: { get: (_axis: string, _order: string, at: number) => names[at] },
  } as unknown as Scene;
}

const CELL = { top: 0, left: 0, bottom: 16, right: 16 };
const ONE = { top: 0, left: 0, bottom: 1, right: 1 };

test("numbers of nodes are those of targets and sources as they were given", () => {
  assert.equal(described(scene(0, "given"), CELL), "targets 0 to 15, sources 0 to 15: 9 edges");
  assert.equal(described(scene(1, "given"), ONE), "target 0, source 0: 9 edges");
  assert.equal(described(scene(1, "given", { 0: "a" }), ONE), "target a, source a: 9 edges");
});

test("in another order they are those of rows and columns, but of nodes whose names are known", () => {
  assert.equal(described(scene(0, "degree"), CELL), "rows 0 to 15, columns 0 to 15: 9 edges");
  assert.equal(described(scene(1, "degree"), ONE), "row 0, column 0: 9 edges");
  assert.equal(described(scene(1, "degree", { 0: "2999" }), ONE), "target 2999, source 2999: 9 edges");
});

test("what is written along the sides is called what it is", () => {
  const plot = { x: 0, y: 0, width: 600, height: 600 };
  const corner = (order: string, bottom: number) => {
    const said: string[] = [];
    const context = { fillText: (text: string) => said.push(text) };
    const region = { top: 0, bottom, left: 0, right: 3000 };
    const shown = { ...scene(0, order), plot, region, theme: THEMES.light };
    drawCorner(context as unknown as CanvasRenderingContext2D, shown);
    return said;
  };
  assert.deepEqual(corner("given", 3000), ["source →", "target ↓"]);
  assert.deepEqual(corner("degree", 3000), ["column →", "row ↓"]);
  assert.deepEqual(corner("degree", 10), ["column →", "target ↓"]); // where these have their names
});
