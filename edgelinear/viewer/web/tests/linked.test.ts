import assert from "node:assert/strict";
import test from "node:test";
import { Keeper } from "../src/chosen";
import { begin, bind } from "../src/linked";
import type { AnyAsk, Saved, Traits } from "../src/protocol";
import { Recorded } from "../src/saved";
import type { Model, Source } from "../src/source";

const META = {
  rows: 100,
  columns: 200,
  edges: 12_000,
  orders: ["given"],
  values: [{ key: "count", label: "" }],
};

/** What is shown of a view of which Python has some edges selected, and what is asked of it. */
function made(edges: number[], total = edges.length) {
  const traits = { _meta: META, _edges: edges, _edge_total: total, _nodes: [], _view: {} };
  const runs = new Map<string, () => void>();
  const model = {
    get: (name: keyof typeof traits) => traits[name],
    set: (name: keyof typeof traits, value: never) => {
      traits[name] = value;
    },
    save_changes: () => undefined,
    on: (event: string, run: () => void) => runs.set(event, run),
    off: () => undefined,
  } as unknown as Model;
  const asked: { ask: AnyAsk; answer: (found: object) => Promise<void>; refuse: () => void }[] = [];
  const source = {
    ask: (ask: AnyAsk) =>
      new Promise((resolve, reject) => {
        const answer = async (found: object) => {
          resolve({ answer: found, buffers: [] });
          await new Promise(setImmediate);
        };
        asked.push({ ask, answer, refuse: () => reject(new Error("no such edge.")) });
      }),
  } as unknown as Source;
  const linked = begin(model, source);
  bind(linked, model, new AbortController().signal);
  /** Have Python change traits. */
  const say = (change: Partial<Traits>) => {
    Object.assign(traits, change);
    for (const name of Object.keys(change)) runs.get(`change:${name}`)?.();
  };
  const chosen = () => ({ edges: linked.shown.edges, total: linked.shown.total });
  return { linked, asked, say, chosen, traits };
}

const LISTED = [...Array(10_000).keys()];

test("an edge more or less among very many is told as such, and leaves the others", async () => {
  const { linked, asked, chosen } = made(LISTED, 12_000);
  linked.toggleEdge(3, false);
  assert.deepEqual(asked[0].ask, { kind: "select", how: "remove", edges: [3] });
  assert.equal(chosen().total, 11_999);
  linked.toggleEdge(10_500, false); // which is not in the list
  assert.equal(chosen().total, 11_998);
  linked.set({ adding: true });
  linked.chooseEdges([3, 4]);
  assert.deepEqual(asked[2].ask, { kind: "select", how: "add", edges: [3, 4] });
  assert.equal(chosen().total, 11_999);
  await asked[2].answer({ edges: LISTED, total: 11_999 });
  assert.deepEqual(chosen(), { edges: LISTED, total: 11_999 });
});

test("a late answer to a rectangle does not undo what was chosen after it", async () => {
  const { linked, asked, say, chosen } = made([]);
  const said = linked.chooseWindow({ top: 0, left: 0, bottom: 9, right: 9 });
  linked.chooseEdges([2]);
  say({ _edges: [0, 1, 5], _edge_total: 3 });
  await asked[0].answer({ edges: [0, 1, 5], total: 3 });
  assert.equal(await said, null);
  assert.deepEqual(chosen(), { edges: [2], total: 1 });
  say({ _edges: [2], _edge_total: 1 });
  await asked[1].answer({ edges: [2], total: 1 });
  say({ _edges: [7], _edge_total: 1 }); // by Python, after all of it
  assert.deepEqual(chosen(), { edges: [7], total: 1 });
});

test("what is the same stays the very same when something else changes", () => {
  const { linked, say } = made([1, 2]);
  const { edges } = linked.shown;
  say({ _edges: [1, 2], _edge_total: 3 });
  assert.equal(linked.shown.total, 3);
  assert.equal(linked.shown.edges, edges); // so that answers about them are not too late
});

test("what Python refuses is not selected", async () => {
  const { linked, asked, chosen } = made([1]);
  linked.chooseEdges([99]);
  assert.deepEqual(chosen(), { edges: [99], total: 1 });
  asked[0].refuse();
  await new Promise(setImmediate);
  assert.deepEqual(chosen(), { edges: [1], total: 1 });
});

test("the number of those selected is right while Python says nothing", () => {
  const { linked, chosen, traits } = made([0, 1, 2]);
  linked.toggleEdge(1, false);
  assert.deepEqual(chosen(), { edges: [0, 2], total: 2 });
  linked.clear();
  assert.deepEqual(chosen(), { edges: [], total: 0 });
  assert.deepEqual(traits._edges, [0, 1, 2]); // Python alone says what these are
});

test("of very many it is asked which are selected, but for those in the list", async () => {
  const { linked, asked } = made(LISTED, 12_000);
  const selected = linked.selected([5, 10_500, 13_000]);
  assert.deepEqual(asked[0].ask, { kind: "selected", edges: [10_500, 13_000] });
  await asked[0].answer({ edges: [10_500] });
  const found = await selected;
  assert.deepEqual([found.has(5), found.has(10_500), found.has(13_000)], [true, true, false]);
});

test("Python shows what it names, and the page stays where it has gone since", () => {
  const { linked, say } = made([]);
  say({ _view: { order: "given", window: [0, 0, 50, 60], node: null } });
  assert.equal(linked.shown.region.bottom, 50);
  const region = { top: 10, left: 10, bottom: 20, right: 20 };
  linked.set({ region }); // of which Python hears a little later
  say({ _view: { order: "given", window: [0, 0, 50, 60], node: ["in", 3] } });
  assert.deepEqual(linked.shown.region, region);
  assert.deepEqual(linked.shown.node, ["in", 3]);
});

const SAVED = {
  traits: {
    _meta: {
      ...META,
      rows: 2,
      columns: 3,
      edges: 3,
      sides: ["in", "out"],
      node_sides: { rows: "out", columns: "in" },
      spans: [[1, 1]],
      signed: [],
    },
  },
  answers: [],
  edges: {
    src: [0, 1, 2, 2],
    dst: [0, 0, 1, 0], // the last one is of another wiring
    fields: { weight: [0.5, -1, 2, null] },
    state: ["here", "here", "both", "there"],
    names: { in: ["TP53", "MYC", "AKT1"], out: null },
    orders: {},
  },
  contents: "",
} as unknown as Saved;

test("a page that was saved adds a rectangle and a table to what is selected", async () => {
  const keeper = new Keeper(new Recorded(SAVED), { edges: [2], total: 1 });
  const window = { order: "given", top: 0, left: 0, bottom: 1, right: 3 };
  const add = { kind: "select", how: "add" } as const;
  assert.deepEqual((await keeper.ask({ ...add, window })).answer, { edges: [0, 1, 2], total: 3 });
  const less = { kind: "select", how: "remove", edges: [0, 2] } as const;
  assert.deepEqual((await keeper.ask(less)).answer, { edges: [1], total: 1 });
  const table = { side: "out", node: 0, direction: "in", filter: "p5" } as const;
  assert.deepEqual((await keeper.ask({ ...add, table })).answer, { edges: [0, 1], total: 2 });
  const alone = { kind: "select", how: "replace", table } as const;
  assert.deepEqual((await keeper.ask(alone)).answer, { edges: [0], total: 1 });
});
