import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Log } from '../ports/log.ts';
import type { Push } from '../ports/push.ts';

/** A connection that doesn't answer from one ping to the next is gone. */
const PING_EVERY_MS = 20_000;
/** What a client may leave unread: one that is slower is closed, and comes again where it was. */
const MAX_UNREAD_BYTES = 1_048_576;
const MAX_MESSAGE_BYTES = 4_096;
/** https://www.iana.org/assignments/websocket: the server restarts, come again. */
const CLOSE_RESTART = 1_012;
/** How long clients may take to answer that the server closes. */
const CLOSE_MS = 1_000;

export interface ConnectionListener {
  /** One message of a connection after the other. */
  onMessage(connectionId: string, text: string): Promise<void>;
  onClose(connectionId: string): Promise<void>;
}

/** As Node tells of it. */
interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** A `Push` over WebSockets to this process. */
export class WsPush implements Push {
  readonly #server: WebSocketServer;
  readonly #sockets = new Map<string, WebSocket>();
  /** Those that have answered the last ping. */
  readonly #answered = new WeakSet<WebSocket>();
  readonly #log: Log;
  /** What clients said and is being done. */
  readonly #doing = new Set<Promise<void>>();
  #pinging: NodeJS.Timeout | undefined;

  /** `protocol`: the subprotocol that is answered. */
  constructor(options: { protocol: string; log: Log }) {
    this.#log = options.log;
    const handleProtocols = (offered: Set<string>) => (offered.has(options.protocol) ? options.protocol : false);
    this.#server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, handleProtocols });
  }

  /** Makes a request the connection of this id; 503 after `stop`. */
  accept(
    connectionId: string,
    { request, socket, head, listener }: UpgradeRequest & { readonly listener: ConnectionListener },
  ): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => this.#use(connectionId, webSocket, listener));
  }

  #use(connectionId: string, socket: WebSocket, listener: ConnectionListener): void {
    this.#pinging ??= setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#sockets.set(connectionId, socket);
    this.#answered.add(socket);
    let last = Promise.resolve();
    const next = (run: () => Promise<void>) => {
      const done = last.then(run).catch((error: unknown) => {
        this.#log.error('a WebSocket could not be served', { connection_id: connectionId, error });
        socket.terminate();
      });
      last = done;
      this.#doing.add(done);
      void done.finally(() => this.#doing.delete(done));
    };
    socket.on('pong', () => this.#answered.add(socket));
    socket.on('message', (data) => next(() => listener.onMessage(connectionId, String(data))));
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.#sockets.delete(connectionId);
      next(() => listener.onClose(connectionId));
    });
  }

  #ping(): void {
    for (const socket of this.#sockets.values()) {
      if (this.#answered.delete(socket)) socket.ping();
      else socket.terminate();
    }
  }

  async send(connectionId: string, message: string): Promise<boolean> {
    const socket = this.#sockets.get(connectionId);
    if (!socket || socket.readyState !== socket.OPEN) return false;
    if (socket.bufferedAmount > MAX_UNREAD_BYTES) {
      socket.terminate();
      return false;
    }
    socket.send(message);
    return true;
  }

  async close(connectionId: string, code: number): Promise<void> {
    this.#sockets.get(connectionId)?.close(code);
  }

  /** Closes every connection, and takes no more. */
  async stop(): Promise<void> {
    this.#server.close();
    clearInterval(this.#pinging);
    const open = [...this.#sockets.values()];
    const closed = open.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of open) socket.close(CLOSE_RESTART);
    const timer = setTimeout(() => {
      for (const socket of open) socket.terminate();
    }, CLOSE_MS);
    await Promise.all(closed);
    clearTimeout(timer);
    await Promise.all(this.#doing);
  }
}
