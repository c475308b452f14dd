import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { Messages, type Model } from "../src/source";

type Sent = { id: string; ask: { kind: string } };

/** A source whose model keeps what is sent, and says whether the source calls Python gone. */
function made() {
  const sent: Sent[] = [];
  const silences: boolean[] = [];
  let receive: (message: object, buffers?: ArrayBufferView[]) => void = () => undefined;
  const model = {
    send: (content: Sent) => sent.push(content),
    on: (_: string, run: typeof receive) => {
      receive = run;
    },
    off: () => undefined,
  } as unknown as Model;
  const ended = new AbortController();
  const source = new Messages(model, (isSilent) => silences.push(isSilent), ended.signal);
  const hear = (...given: Parameters<typeof receive>) => receive(...given);
  return { source, sent, silences, ended, hear };
}

const EDGE = { kind: "edge" as const, edge: 3 };

test("an answer comes to the one who asked, with its buffers", async () => {
  const { source, sent, hear, ended } = made();
  const [one, other] = [source.ask(EDGE), source.ask({ ...EDGE, edge: 4 })];
  const bytes = new Uint32Array([1, 2, 3]);
  hear({ id: sent[1].id, answer: { text: "other" } });
  hear({ id: sent[0].id, answer: { text: "one" } }, [bytes.subarray(1)]);
  const { answer, buffers } = await one;
  assert.equal(answer.text, "one");
  assert.equal(buffers[0].getUint32(0, true), 2);
  assert.equal((await other).answer.text, "other");
  ended.abort();
});

test("an error is the sentence that Python says", async () => {
  const { source, sent, hear, ended } = made();
  const asked = source.ask(EDGE);
  hear({ id: sent[0].id, error: "there is no edge 3: there are 2." });
  await assert.rejects(asked, /there is no edge 3/);
  ended.abort();
});

test("answers to another view of the same widget are left to it", () => {
  const { source, hear, ended, silences } = made();
  source.ask(EDGE).catch(() => undefined);
  hear({ id: "another-1", answer: {} });
  assert.deepEqual(silences, []);
  ended.abort();
});

test("a view that is taken away waits for nothing and asks for nothing", async () => {
  const { source, sent, ended } = made();
  const asked = source.ask(EDGE);
  ended.abort();
  await assert.rejects(asked, /no longer shown/);
  await assert.rejects(source.ask(EDGE), /no longer shown/);
  assert.equal(sent.length, 1);
});

test("after ten seconds Python is said to be gone, and asked until it is back", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  let now = 0;
  mock.method(performance, "now", () => now);
  const pass = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      now += 1000;
      mock.timers.tick(1000);
    }
  };
  const { source, sent, hear, silences, ended } = made();
  const [first, second] = [source.ask(EDGE), source.ask(EDGE)];
  pass(9);
  assert.deepEqual(silences, []);
  pass(1);
  assert.deepEqual(silences, [true]);
  assert.equal(sent.length, 3);
  assert.equal(sent[2].id, sent[0].id);
  pass(20);
  assert.equal(sent.length, 5);
  hear({ id: sent[0].id, answer: { text: "back" } });
  assert.deepEqual(silences, [true, false]);
  assert.equal((await first).answer.text, "back");
  assert.equal(sent.at(-1)?.id, sent[1].id); // what the dead kernel never saw
  hear({ id: sent[1].id, answer: { text: "too" } });
  assert.equal((await second).answer.text, "too");
  ended.abort();
  mock.reset();
});
