import * as z from 'zod/mini';
import { DomainError } from '../../contract/errors.ts';
import { LIVE_PROTOCOL } from '../../contract/live.ts';
import { errorResponse } from '../runtime/http.ts';
import type { Sockets } from './sockets.ts';

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html */
const SocketEvent = z.object({
  requestContext: z.object({ routeKey: z.string(), connectionId: z.string(), requestId: z.string() }),
  headers: z.optional(z.nullable(z.record(z.string(), z.string()))),
  body: z.optional(z.nullable(z.string())),
});

interface SocketAnswer {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A Lambda handler of all routes of a WebSocket API. */
export function socketHandler({ open, listener }: Sockets): (event: unknown) => Promise<SocketAnswer> {
  return async (event) => {
    const { requestContext, headers, body } = SocketEvent.parse(event);
    const { routeKey, connectionId, requestId } = requestContext;
    if (routeKey === '$connect') {
      const protocols = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'sec-websocket-protocol');
      try {
        await open({ connectionId, protocols: protocols?.[1] });
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        const { status, ...refusal } = errorResponse(error, requestId);
        return { statusCode: status, ...refusal };
      }
      return { statusCode: 200, headers: { 'Sec-WebSocket-Protocol': LIVE_PROTOCOL } };
    }
    if (routeKey === '$disconnect') await listener.onClose(connectionId);
    else await listener.onMessage(connectionId, body ?? '');
    return { statusCode: 200 };
  };
}
