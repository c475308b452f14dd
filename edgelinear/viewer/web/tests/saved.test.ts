import assert from "node:assert/strict";
import test from "node:test";
import type { Partner, Saved } from "../src/protocol";
import { csvOf, fileName, orderedRows } from "../src/rows";
import { keyOf, Recorded } from "../src/saved";

function row(edge: number | null, name: string, weight: Partner["weight"]): Partner {
  return {
    edge,
    side: "in",
    node: edge ?? 99,
    name,
    weight,
    contribution: null,
    values: null,
    other: null,
    difference: null,
    state: edge === null ? "there" : "here",
  };
}

const TABLE = [row(2, "b", 0.5), row(0, "A", -2), row(1, "c", "NaN"), row(null, "d", null)];
const edges = (rows: Partner[]) => rows.map(({ edge }) => edge);

test("rows stand in the order of their sizes, those without a number last", () => {
  const how = { sort: "weight", filter: "" };
  assert.deepEqual(edges(orderedRows(TABLE, { ...how, descending: true })), [1, 0, 2, null]);
  assert.deepEqual(edges(orderedRows(TABLE, { ...how, descending: false })), [2, 0, 1, null]);
});

test("rows stand in the order of their names, and those alone that have a text", () => {
  const how = { sort: "name", descending: false };
  assert.deepEqual(edges(orderedRows(TABLE, { ...how, filter: "" })), [0, 2, 1, null]);
  assert.deepEqual(edges(orderedRows(TABLE, { ...how, filter: "B" })), [2]);
});

test("a file of rows has no formula in it", () => {
  const rows = [row(0, "=1+1", 0.1), row(1, 'say "no", now', Math.fround(0.1)), row(2, "-3.5", 1)];
  assert.equal(
    csvOf(rows, ["weight"], ["weight"], false),
    'edge,node,name,weight\r\n0,0,\'=1+1,0.1\r\n1,1,"say ""no"", now",0.1\r\n2,2,-3.5,1\r\n',
  );
});

test("a file has numbers in the digits of their types, and nothing that is computed", () => {
  const tenth = Math.fround(0.1);
  const rows = [{ ...row(0, "=5", tenth), values: tenth }, { ...row(1, "@1", null), values: "NaN" }];
  assert.equal(
    csvOf(rows as Partner[], ["weight", "values"], ["weight"], true),
    "edge,node,name,weight,values,state\r\n" +
      "0,0,'=5,0.1,0.10000000149011612,here\r\n1,1,'@1,,NaN,here\r\n",
  );
});

test("a file has a name that every system takes", () => {
  const ask = { side: "in", node: 7, direction: "out" as const };
  const names = ["TP53", "../a b", "._", "x".repeat(59) + ".y"];
  const files = ["TP53", "a_b", "7", "x".repeat(59)].map((name) => `${name}-out.csv`);
  assert.deepEqual(names.map((name) => fileName(name, ask)), files);
});

test("the same question is the same, in whatever order it is written", () => {
  assert.equal(keyOf({ a: 1, b: [2] }), keyOf({ b: [2], a: 1 }));
  assert.notEqual(keyOf({ a: 1 }), keyOf({ a: 2 }));
});

const ASK = {
  kind: "partners" as const,
  side: "out",
  node: 7,
  direction: "in" as const,
  sort: "weight",
  descending: true,
  start: 0,
  stop: 1000,
  filter: "",
};
const SAVED = {
  traits: { _meta: {} },
  answers: [
    { ask: ASK, answer: { total: 4, rows: TABLE, columns: ["name", "weight"] }, buffers: [] },
    { ask: { kind: "tile", level: 0 }, answer: { cells: 1 }, buffers: ["AgAAAA=="] },
  ],
  edges: null,
  contents: "",
} as unknown as Saved;

test("a page that was saved sorts, filters and turns the tables that it holds", async () => {
  const { answer } = await new Recorded(SAVED).ask({ ...ASK, sort: "name", start: 1, stop: 3 });
  assert.equal(answer.total, 4);
  assert.deepEqual(edges(answer.rows), [1, 2]);
});

test("it knows the names in them, and says that it needs Python for the rest", async () => {
  const recorded = new Recorded(SAVED);
  const { answer } = await recorded.ask({ kind: "names", side: "in", nodes: [2, 0] });
  assert.deepEqual(answer.names, ["b", "A"]);
  await assert.rejects(recorded.ask({ ...ASK, node: 8 }), /needs Python/);
});

test("a table of which it holds the first rows is turned as far as these go, and not sorted", async () => {
  const answer = { total: 12, rows: TABLE, columns: ["name", "weight"] };
  const recorded = new Recorded({ ...SAVED, answers: [{ ask: ASK, answer, buffers: [] }] });
  const found = await recorded.ask({ ...ASK, start: 1, stop: 3 });
  assert.deepEqual([found.answer.total, ...edges(found.answer.rows)], [12, 0, 1]);
  await assert.rejects(recorded.ask({ ...ASK, start: 2, stop: 5 }), /needs Python/);
  await assert.rejects(recorded.ask({ ...ASK, stop: 3, descending: false }), /needs Python/);
  await assert.rejects(recorded.ask({ ...ASK, stop: 3, filter: "b" }), /needs Python/);
});

test("the names that were seen are those of their rows, in whatever part they are asked for", async () => {
  const seen = { kind: "names" as const, side: "out", axis: "rows" as const, order: "degree" };
  const ask = { ...seen, start: 3, stop: 5 };
  const answer = { names: ["d", "e"], nodes: [7, 1] };
  const recorded = new Recorded({ ...SAVED, answers: [{ ask, answer, buffers: [] }] });
  const found = await recorded.ask({ ...seen, start: 2, stop: 200 });
  assert.deepEqual(found.answer.names.slice(0, 4), [undefined, "d", "e", undefined]);
  await assert.rejects(recorded.ask({ ...seen, start: 200, stop: 400 }), /needs Python/);
  await assert.rejects(recorded.ask({ ...seen, order: "given", start: 2, stop: 9 }), /needs Python/);
});

test("bytes come back as they were", async () => {
  const ask = { kind: "tile", level: 0 } as never;
  const { buffers } = await new Recorded(SAVED).ask<"tile">(ask);
  assert.equal(buffers[0].getUint32(0, true), 2);
});
