import assert from "node:assert/strict";
import test from "node:test";
import type { Meta } from "../src/protocol";
import type { Source } from "../src/source";
import { Tiles } from "../src/tiles";

const SPOT = { level: 1, row: 0, column: 0 };
const [COUNT, WEIGHT] = ["count", "weight"].map((value) => ({ order: "given", value }));

/** Tiles whose source answers when it is told to. */
function made() {
  const asked: { answer: (most: number) => Promise<void>; refuse: () => Promise<void> }[] = [];
  const source = {
    ask: () =>
      new Promise((resolve, reject) => {
        const settled = () => new Promise<void>((done) => setImmediate(done));
        const none = new DataView(new ArrayBuffer(0));
        const answer = (most: number) => {
          const buffers = [none, none, none];
          resolve({ answer: { rows: 1, columns: 1, most, cells: 0 }, buffers });
          return settled();
        };
        const refuse = () => {
          reject(new Error("no."));
          return settled();
        };
        asked.push({ answer, refuse });
      }),
  } as unknown as Source;
  const ignore = () => undefined;
  return { tiles: new Tiles(source, {} as Meta, ignore, ignore), asked };
}

test("the largest number of a level is known with its first tile, and of that level alone", async () => {
  const { tiles, asked } = made();
  tiles.want(COUNT, [SPOT]);
  assert.equal(tiles.most(COUNT, 1), null);
  await asked[0].answer(7);
  assert.equal(tiles.most(COUNT, 1), 7);
  assert.equal(tiles.most(WEIGHT, 1), null);
  assert.equal(tiles.most(COUNT, 2), null);
});

test("a tile that was refused is asked for again once something else was shown", async () => {
  const { tiles, asked } = made();
  tiles.want(COUNT, [SPOT]);
  await asked[0].refuse();
  tiles.want(COUNT, [SPOT]);
  assert.ok(tiles.lacks(COUNT, [SPOT]));
  assert.equal(asked.length, 1);
  tiles.want(WEIGHT, []);
  tiles.want(COUNT, [SPOT]);
  assert.equal(asked.length, 2);
  await asked[1].answer(1);
  assert.ok(!tiles.lacks(COUNT, [SPOT]));
});
