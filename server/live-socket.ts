import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { DomainError } from '../contract/errors.ts';
import { errorResponse } from '../lambdas/runtime/http.ts';
import type { Log } from '../lambdas/runtime/log.ts';
import type { ConnectionListener, WsPush } from '../platform/embedded/ws-push.ts';
import { LIVE_PATH } from './platform.ts';

/** Makes requests for `/live` WebSocket connections, unless `open` throws. */
export function createUpgradeListener({
  push,
  open,
  listener,
  newId,
  log,
}: {
  push: WsPush;
  open: (connection: { connectionId: string; protocols: string | undefined }) => Promise<void>;
  listener: ConnectionListener;
  newId: () => string;
  log: Log;
}): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  return (request, socket, head) => {
    const connectionId = newId();
    const accept = async () => {
      if (request.url?.split('?')[0] !== LIVE_PATH) {
        throw new DomainError('RouteNotFoundError', `the WebSocket is at ${LIVE_PATH}`);
      }
      await open({ connectionId, protocols: request.headers['sec-websocket-protocol'] });
      push.accept(connectionId, { request, socket, head, listener });
    };
    accept().catch((error: unknown) => {
      if (!(error instanceof DomainError)) log.error('a connection could not be opened', { error });
      refuse(socket, error, connectionId);
    });
  };
}

function refuse(socket: Duplex, error: unknown, requestId: string): void {
  const { status, headers, body } = errorResponse(error, requestId);
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) });
  // The peer may never close its side.
  socket.once('finish', () => socket.destroy());
  socket.end(
    [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines.map((line) => line.join(': ')), '', body].join('\r\n'),
  );
}
