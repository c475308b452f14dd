import assert from "node:assert/strict";
import test from "node:test";
import { around, cellAt, clamped, levelFor, moved, tilesIn, whole, zoomed } from "../src/region";

// 1,000 rows and 300 columns: cells of 4 x 2 nodes, of 2 x 1, and of one.
const levels = {
  rows: 1000,
  columns: 300,
  tile: 256,
  depth: 3,
  spans: [
    [4, 2],
    [2, 1],
    [1, 1],
  ] as [number, number][],
};

test("a point keeps its place while all around it is zoomed", () => {
  const before = { top: 100, bottom: 300, left: 50, right: 150 };
  const after = zoomed(before, 0.5, 150, 75, levels);
  assert.deepEqual(after, { top: 125, bottom: 225, left: 62.5, right: 112.5 });
});

test("nothing beyond the matrix is shown, and no more than all of it", () => {
  assert.deepEqual(zoomed(whole(levels), 3, 10, 10, levels), whole(levels));
  assert.deepEqual(moved({ top: 0, bottom: 100, left: 0, right: 30 }, -5, 400, levels), {
    top: 0,
    bottom: 100,
    left: 270,
    right: 300,
  });
});

test("cells are not zoomed for ever", () => {
  let region = whole(levels);
  for (let turn = 0; turn < 100; turn++) region = zoomed(region, 0.5, 500, 150, levels);
  assert.deepEqual([region.bottom - region.top, region.right - region.left], [6, 4]);
});

test("a matrix smaller than what is shown at least is shown whole", () => {
  const small = { rows: 1, columns: 2 };
  assert.deepEqual(clamped({ top: 0, bottom: 1, left: 0, right: 2 }, small), whole(small));
  assert.deepEqual(zoomed(whole(small), 0.5, 0, 0, small), whole(small));
});

test("a matrix without rows is one empty region", () => {
  const none = { ...levels, rows: 0, columns: 0 };
  assert.deepEqual(whole(none), { top: 0, left: 0, bottom: 1, right: 1 });
  assert.deepEqual(tilesIn(none, 0, whole(none)), []);
  assert.equal(cellAt(none, 0, 0, 0), null);
});

test("the finest level is shown whose cells can be told apart", () => {
  assert.equal(levelFor(levels, whole(levels), 200, 300), 0);
  assert.equal(levelFor(levels, whole(levels), 600, 800), 1);
  assert.equal(levelFor(levels, whole(levels), 600, 1600), 2);
});

test("the tiles that a region touches are those, and no others", () => {
  const at = (row: number, column: number) => ({ level: 2, row, column });
  const region = { top: 255.5, bottom: 512, left: 0, right: 256 };
  assert.deepEqual(tilesIn(levels, 2, region), [at(0, 0), at(1, 0)]);
  assert.equal(tilesIn(levels, 2, whole(levels)).length, 8);
});

test("the cell at a point ends with the matrix", () => {
  assert.deepEqual(cellAt(levels, 0, 998.5, 3.9), { top: 996, bottom: 1000, left: 2, right: 4 });
  assert.equal(cellAt(levels, 0, 1000, 3), null);
  assert.equal(cellAt(levels, 0, -0.1, 3), null);
});

test("what is selected is shown with room around it", () => {
  const region = around([500, 510, -1], [100], levels);
  assert.ok(region.top < 500 && region.bottom > 511 && region.bottom - region.top < 60);
  assert.ok(region.left < 100 && region.right > 101);
  assert.deepEqual(around([], [100], levels).bottom, 1000);
});
