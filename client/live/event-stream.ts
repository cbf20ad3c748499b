import { MAX_EVENT_WAIT_SECONDS } from '../../contract/limits.ts';
import type { ServerMessage } from '../../contract/live.ts';
import { sleep } from '../retry.ts';
import type { Listener, LiveConnection, LiveSocket } from './live-socket.ts';
import { Wakeable } from './wakeable.ts';

/** A topic on which nothing comes is asked for again after so long: no push that got lost goes unnoticed for longer. */
const ASK_AFTER_MS = 20_000;
const POLL_LIMIT = 500;

/** The query of a long poll for events. */
interface EventsQuery {
  readonly wait_seconds: number;
  readonly limit: number;
  readonly after?: string;
}

/** The events of one job or upload, each once and in order, pushed or polled for. */
export class EventStream<E extends { readonly cursor: string }> implements Listener {
  readonly topic: string;
  readonly #live: LiveConnection;
  readonly #poll: (query: EventsQuery) => Promise<readonly E[]>;
  readonly #wakeable = new Wakeable();
  #cursor: string | undefined;
  #queue: E[] = [];
  #socket: LiveSocket | undefined;
  #asked = false;
  /** Whether an answer without an event is to be told. */
  #tellsNothing = false;
  #answer: 'nothing' | 'ended' | undefined;
  /** It doesn't take this subscription: a poll tells why, or does in its place. */
  #refusedBy: LiveSocket | undefined;

  /** `poll`: a long poll of the API. */
  constructor(
    live: LiveConnection,
    {
      topic,
      after,
      poll,
    }: { topic: string; after: string | undefined; poll: (query: EventsQuery) => Promise<readonly E[]> },
  ) {
    this.topic = topic;
    this.#live = live;
    this.#cursor = after;
    this.#poll = poll;
    live.add(this);
  }

  /** The next events; none when there are none for some time, or may be none any more. */
  async next(signal: AbortSignal | undefined): Promise<readonly E[]> {
    for (;;) {
      if (this.#queue.length > 0) return this.#queue.splice(0);
      const answer = this.#answer;
      this.#answer = undefined;
      if (answer === 'ended' || (answer && this.#tellsNothing)) {
        this.#tellsNothing = answer === 'ended';
        if (answer === 'ended') this.#socket = undefined;
        return [];
      }
      const socket = await this.#live.connect();
      if (!socket || socket === this.#refusedBy) return this.#polled();
      if (socket !== this.#socket) this.#ask(socket, false);
      if (!(await this.#wakeable.sleep(ASK_AFTER_MS, signal)) && this.#socket) this.#ask(this.#socket, true);
    }
  }

  close(): void {
    this.#live.remove(this);
  }

  async #polled(): Promise<readonly E[]> {
    const cursor = this.#cursor;
    // Meanwhile some of them may have been pushed.
    const after = cursor === undefined ? {} : { after: cursor };
    this.#take(cursor, await this.#poll({ wait_seconds: MAX_EVENT_WAIT_SECONDS, limit: POLL_LIMIT, ...after }));
    return this.#queue.splice(0);
  }

  #ask(socket: LiveSocket, tellsNothing: boolean): void {
    this.#socket = socket;
    this.#asked = true;
    this.#tellsNothing = tellsNothing;
    socket.send({ type: 'subscribe', topic: this.topic, after: this.#cursor });
  }

  onMessage(message: ServerMessage): void {
    if (message.type === 'events') this.#take(message.after, message.items as unknown as readonly E[]);
    else if (message.type === 'subscribed') {
      this.#asked = false;
      this.#answer = message.ended ? 'ended' : 'nothing';
    } else if (message.type === 'error') this.#refusedBy = this.#socket;
    this.#wakeable.wake();
  }

  onLost(): void {
    this.#socket = undefined;
    this.#asked = false;
    this.#wakeable.wake();
  }

  #take(after: string | undefined, items: readonly E[]): void {
    const cursor = this.#cursor;
    const news = cursor === undefined ? items : items.filter((item) => item.cursor > cursor);
    if (news.length === 0) return;
    if (after !== undefined && (cursor === undefined || after > cursor)) {
      // Something before these is missing. It may be on its way; if not, it is after this question.
      if (!this.#asked && this.#socket) this.#ask(this.#socket, false);
      return;
    }
    this.#cursor = news.at(-1)?.cursor;
    this.#queue.push(...news);
  }
}

/**
 * All events of a stream until `isOver`, which is asked after events and when none came, and told the last event and how
 * often in a row there was none.
 */
export async function* watchEvents<E extends { readonly cursor: string }>(
  stream: EventStream<E>,
  isOver: (last: E | undefined, emptyReads: number) => Promise<boolean>,
  signal: AbortSignal | undefined,
): AsyncGenerator<E, void, void> {
  let last: E | undefined;
  let emptyReads = 0;
  try {
    for (;;) {
      const readMs = Date.now();
      const items = await stream.next(signal);
      yield* items;
      last = items.at(-1) ?? last;
      emptyReads = items.length === 0 ? emptyReads + 1 : 0;
      if (await isOver(last, emptyReads)) return;
      // What answers at once that there is nothing is not asked in a tight loop.
      if (items.length === 0 && Date.now() - readMs < 500) await sleep(500, signal);
    }
  } finally {
    stream.close();
  }
}
