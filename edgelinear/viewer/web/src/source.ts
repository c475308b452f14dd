/** Who answers what the page asks: Python, by the messages of the widget. */

import type { Answers, Ask, Kind, Reply, Traits } from "./protocol";

export interface Source {
  /** The answer, or an error whose message is a sentence to show. */
  ask<K extends Kind>(ask: Ask<K>): Promise<Reply<K>>;
}

/** What anywidget gives `render` of the widget in Python. */
export interface Model {
  get<K extends keyof Traits>(name: K): Traits[K];
  set<K extends keyof Traits>(name: K, value: Traits[K]): void;
  save_changes(): void;
  on(event: string, run: (...given: never[]) => void): void;
  off(event: string, run: (...given: never[]) => void): void;
  send(content: unknown): void;
}

interface Waiting {
  ask: Ask<Kind>;
  asked: number;
  answer: (reply: Reply<Kind>) => void;
  refuse: (error: Error) => void;
}

interface Message {
  id: string;
  answer?: Answers[Kind];
  error?: string;
}

const ENDED = "This view is no longer shown.";
const PATIENCE = 10_000; // milliseconds without a word until Python is said to be gone

/**
 * Asks that wait for Python. One that is not answered is asked again, as a kernel that was busy or
 * away may be back: `silent` hears when there is no answer, and when there is one again. Ids ascend,
 * by which Python selects once alone.
 */
export class Messages implements Source {
  private readonly waiting = new Map<string, Waiting>();
  // Views of one widget hear each other's answers.
  private readonly name = Math.random().toString(36).slice(2);
  private number = 0;
  private heard = 0;
  private isSilent = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly model: Model,
    private readonly silent: (isSilent: boolean) => void,
    private readonly signal: AbortSignal,
  ) {
    const receive = (message: Message, buffers?: ArrayBufferView[]) =>
      this.receive(message, buffers ?? []);
    model.on("msg:custom", receive);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      clearInterval(this.timer);
      for (const { refuse } of this.waiting.values()) refuse(new Error(ENDED));
      this.waiting.clear();
    });
  }

  ask<K extends Kind>(ask: Ask<K>): Promise<Reply<K>> {
    if (this.signal.aborted) return Promise.reject(new Error(ENDED));
    const id = `${this.name}-${++this.number}`;
    return new Promise((answer, refuse) => {
      const asked = performance.now();
      this.waiting.set(id, { ask, asked, answer: answer as Waiting["answer"], refuse });
      this.timer ??= setInterval(() => this.look(), 1000);
      this.send(id, ask);
    });
  }

  private send(id: string, ask: Ask<Kind>): void {
    try {
      this.model.send({ id, ask });
    } catch {
      // No way to Python any more: it is as if it were silent.
    }
  }

  private receive(message: Message, buffers: ArrayBufferView[]): void {
    const found = this.waiting.get(message.id);
    if (!found) return;
    this.waiting.delete(message.id);
    this.heard = performance.now();
    if (this.isSilent) {
      this.tell(false);
      for (const [id, { ask }] of this.waiting) this.send(id, ask);
    }
    if (message.error !== undefined) found.refuse(new Error(message.error));
    else found.answer({ answer: message.answer as Answers[Kind], buffers: buffers.map(viewed) });
  }

  private look(): void {
    const [oldest] = this.waiting;
    if (!oldest) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    const [id, waiting] = oldest;
    const now = performance.now();
    if (now - Math.max(waiting.asked, this.heard) < PATIENCE) return;
    waiting.asked = now;
    if (!this.isSilent) this.tell(true);
    this.send(id, waiting.ask);
  }

  private tell(isSilent: boolean): void {
    this.isSilent = isSilent;
    this.silent(isSilent);
  }
}

function viewed(buffer: ArrayBufferView | ArrayBuffer): DataView {
  if (buffer instanceof ArrayBuffer) return new DataView(buffer);
  return new DataView(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}
