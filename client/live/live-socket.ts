import { backoffMs } from '../../contract/backoff.ts';
import { CREDENTIAL_PROTOCOL, LIVE_PROTOCOL, type ServerMessage } from '../../contract/live.ts';
import type { Api } from '../api.ts';

/** The gateway closes a connection on which nothing moves for 10 minutes; one that is dead is to be found long before. */
const PING_AFTER_MS = 20_000;
const DEAD_AFTER_MS = 35_000;
const OPEN_TIMEOUT_MS = 10_000;
/** Of the pauses until a connection is tried again. */
const BACKOFF = { firstMs: 250, longestMs: 30_000 };

/** What a watcher is told of its topic. */
export interface Listener {
  readonly topic: string;
  onMessage(message: ServerMessage): void;
  /** The connection is gone. */
  onLost(): void;
}

/** One WebSocket that all watchers of a client share, open while there are any. */
export class LiveConnection {
  readonly #api: Api;
  readonly #listeners = new Set<Listener>();
  #socket: LiveSocket | undefined;
  #opening: Promise<LiveSocket | undefined> | undefined;
  #failures = 0;
  #notBefore = 0;

  constructor(api: Api) {
    this.#api = api;
  }

  add(listener: Listener): void {
    this.#listeners.add(listener);
  }

  /** The last one to go closes the connection. */
  remove(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) {
      const socket = this.#socket;
      this.#socket = undefined;
      socket?.close();
    } else if (!this.#watched(listener.topic)) this.#socket?.send({ type: 'unsubscribe', topic: listener.topic });
  }

  #watched(topic: string): boolean {
    return [...this.#listeners].some((listener) => listener.topic === topic);
  }

  /** Undefined where the server has no WebSocket, or none can be opened now: events are to be had by other means. */
  async connect(): Promise<LiveSocket | undefined> {
    if (this.#socket) return this.#socket;
    if (Date.now() < this.#notBefore) return undefined;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<LiveSocket | undefined> {
    try {
      const { websocket_url: url } = await this.#api.call('getLive', {}, { retrySeconds: 0 });
      if (url === undefined || typeof WebSocket === 'undefined') {
        this.#notBefore = Number.POSITIVE_INFINITY;
        return undefined;
      }
      const webSocket = new WebSocket(url, [LIVE_PROTOCOL, `${CREDENTIAL_PROTOCOL}${await this.#api.credential()}`]);
      await opened(webSocket);
      const socket = new LiveSocket(webSocket, {
        tell: (message) => this.#tell(message),
        lost: () => this.#lost(socket),
      });
      this.#failures = 0;
      this.#socket = socket;
      if (this.#listeners.size === 0) socket.close();
      return socket;
    } catch {
      // Whatever it is, the calls that are made instead meet it as well, and tell it.
      this.#pause();
      return undefined;
    }
  }

  #lost(socket: LiveSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#notBefore = Date.now() + backoffMs(1, BACKOFF);
    for (const listener of this.#listeners) listener.onLost();
  }

  #pause(): void {
    this.#failures += 1;
    this.#notBefore = Date.now() + backoffMs(this.#failures, BACKOFF);
  }

  #tell(message: ServerMessage): void {
    const topic = 'topic' in message ? message.topic : undefined;
    for (const listener of this.#listeners) if (listener.topic === topic) listener.onMessage(message);
  }
}

async function opened(webSocket: WebSocket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = () => reject(new Error('the WebSocket was refused'));
    const timer = setTimeout(() => {
      webSocket.close();
      fail();
    }, OPEN_TIMEOUT_MS);
    webSocket.addEventListener('open', () => {
      clearTimeout(timer);
      resolve();
    });
    webSocket.addEventListener('error', fail);
    webSocket.addEventListener('close', () => {
      clearTimeout(timer);
      fail();
    });
  });
}

/** An open WebSocket. It is lost once, however it ends; what is said after that is not heard. */
export class LiveSocket {
  readonly #webSocket: WebSocket;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #onLost: () => void;
  #heardMs = Date.now();
  #isLost = false;

  constructor(webSocket: WebSocket, on: { tell: (message: ServerMessage) => void; lost: () => void }) {
    this.#webSocket = webSocket;
    this.#onLost = on.lost;
    this.#timer = setInterval(() => this.#check(), PING_AFTER_MS / 2);
    webSocket.addEventListener('message', ({ data }) => {
      this.#heardMs = Date.now();
      if (!this.#isLost) on.tell(JSON.parse(String(data)) as ServerMessage);
    });
    webSocket.addEventListener('close', () => this.#lose());
  }

  send(message: { type: string; topic?: string; after?: string | undefined }): void {
    if (this.#webSocket.readyState === WebSocket.OPEN) this.#webSocket.send(JSON.stringify(message));
  }

  close(): void {
    this.#webSocket.close();
    this.#lose();
  }

  #check(): void {
    const silentMs = Date.now() - this.#heardMs;
    if (silentMs >= DEAD_AFTER_MS) this.close();
    else if (silentMs >= PING_AFTER_MS) this.send({ type: 'ping' });
  }

  #lose(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    clearInterval(this.#timer);
    this.#onLost();
  }
}
