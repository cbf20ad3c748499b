import { subjectsOf } from '../../contract/event-subjects.ts';
import type { ServerMessage, StateEntry } from '../../contract/live.ts';
import type { LiveEvent } from '../types.ts';
import type { Listener, LiveConnection, LiveSocket } from './live-socket.ts';
import { Wakeable } from './wakeable.ts';

/** The states as they are, or a change of one of them. */
export type LiveUpdate =
  | { readonly type: 'snapshot'; readonly items: readonly StateEntry[]; readonly truncated: boolean }
  | LiveEvent;

/** Between two looks at what there is, where nothing is pushed. */
const LOOK_EVERY_MS = 2_000;
/** A question that nothing has answered for so long got lost, or its answer did. */
const ASK_AFTER_MS = 20_000;
/** Cursors of the last events of so many jobs and uploads are kept, so that none is told twice. */
const MAX_CURSORS = 10_000;

/** A snapshot of the states of a batch or of the tenant, then what changes; a snapshot again after a cut connection. */
export class StateStream implements Listener {
  readonly topic: string;
  readonly #live: LiveConnection;
  readonly #look: () => Promise<LiveUpdate & { type: 'snapshot' }>;
  readonly #wakeable = new Wakeable();
  readonly #cursors = new Map<string, string>();
  #queue: LiveUpdate[] = [];
  #socket: LiveSocket | undefined;
  /** Never, once it is answered. */
  #askAgainMs = 0;
  #snapshot: StateEntry[] = [];
  #lastLook = '';
  /** It doesn't take this subscription: a look tells why. */
  #refusedBy: LiveSocket | undefined;

  constructor(
    live: LiveConnection,
    options: { topic: string; look: () => Promise<LiveUpdate & { type: 'snapshot' }> },
  ) {
    this.topic = options.topic;
    this.#live = live;
    this.#look = options.look;
    live.add(this);
  }

  async next(signal: AbortSignal | undefined): Promise<readonly LiveUpdate[]> {
    for (;;) {
      if (this.#queue.length > 0) return this.#queue.splice(0);
      const socket = await this.#live.connect();
      if (!socket || socket === this.#refusedBy) {
        const look = await this.#look();
        const text = JSON.stringify(look);
        if (text !== this.#lastLook) {
          this.#lastLook = text;
          return [look];
        }
        await this.#wakeable.sleep(LOOK_EVERY_MS, signal);
      } else if (socket !== this.#socket || Date.now() >= this.#askAgainMs) {
        this.#socket = socket;
        this.#askAgainMs = Date.now() + ASK_AFTER_MS;
        this.#snapshot = [];
        socket.send({ type: 'subscribe', topic: this.topic });
      } else await this.#wakeable.sleep(LOOK_EVERY_MS, signal);
    }
  }

  close(): void {
    this.#live.remove(this);
  }

  onMessage(message: ServerMessage): void {
    const isAnswer = message.type === 'snapshot' || message.type === 'subscribed';
    // Of a question that was asked again, while its answer was on its way.
    if (isAnswer && this.#askAgainMs === Number.POSITIVE_INFINITY) return;
    if (message.type === 'snapshot') {
      this.#askAgainMs = Date.now() + ASK_AFTER_MS;
      this.#snapshot.push(...message.items);
    } else if (message.type === 'events') this.#queue.push(...message.items.filter((event) => this.#isNew(event)));
    else if (message.type === 'subscribed') {
      // Changes that came while it was told are of a time that it has seen, or of a later one: they stay behind it.
      this.#queue.unshift({ type: 'snapshot', items: this.#snapshot, truncated: message.truncated ?? false });
      this.#snapshot = [];
      this.#askAgainMs = Number.POSITIVE_INFINITY;
    } else if (message.type === 'error') this.#refusedBy = this.#socket;
    this.#wakeable.wake();
  }

  onLost(): void {
    this.#socket = undefined;
    this.#lastLook = '';
    this.#wakeable.wake();
  }

  #isNew(event: LiveEvent): boolean {
    const [id = event.id] = subjectsOf(event);
    if ((this.#cursors.get(id) ?? '') >= event.cursor) return false;
    this.#cursors.delete(id);
    this.#cursors.set(id, event.cursor);
    const oldest = this.#cursors.keys().next().value;
    if (this.#cursors.size > MAX_CURSORS && oldest !== undefined) this.#cursors.delete(oldest);
    return true;
  }
}
