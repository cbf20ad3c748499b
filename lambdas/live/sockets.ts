import type { Authenticate } from '../runtime/api.ts';
import { forgetConnection, openConnection } from './connections.ts';
import type { SocketDeps } from './deps.ts';
import { handleMessage } from './messages.ts';

/** Opens connections of clients, and hears what they say. */
export interface Sockets {
  /** Throws `DomainError` if the connection must not be opened. `protocols`: the header `Sec-WebSocket-Protocol`. */
  open(connection: { connectionId: string; protocols: string | undefined }): Promise<void>;
  readonly listener: {
    onMessage(connectionId: string, text: string): Promise<void>;
    onClose(connectionId: string): Promise<void>;
  };
}

export function createSockets(deps: SocketDeps, authenticate: Authenticate): Sockets {
  return {
    open: (connection) => openConnection(deps, authenticate, connection),
    listener: {
      onMessage: (connectionId, text) => handleMessage(deps, connectionId, text),
      onClose: (connectionId) => forgetConnection(deps, connectionId),
    },
  };
}
