import * as z from 'zod/mini';
import { DomainError } from '../../contract/errors.ts';
import { LIVE_PROTOCOL } from '../../contract/live.ts';
import type { Authenticate } from '../runtime/api.ts';
import { errorResponse } from '../runtime/http.ts';
import { forgetConnection, openConnection } from './connections.ts';
import type { SocketDeps } from './deps.ts';
import { handleMessage } from './messages.ts';

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
export function socketHandler(deps: SocketDeps, authenticate: Authenticate): (event: unknown) => Promise<SocketAnswer> {
  return async (event) => {
    const { requestContext, headers, body } = SocketEvent.parse(event);
    const { routeKey, connectionId, requestId } = requestContext;
    if (routeKey === '$connect') {
      const protocols = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'sec-websocket-protocol');
      try {
        await openConnection(deps, authenticate, { connectionId, protocols: protocols?.[1] });
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        const { status, ...refusal } = errorResponse(error, requestId);
        return { statusCode: status, ...refusal };
      }
      return { statusCode: 200, headers: { 'Sec-WebSocket-Protocol': LIVE_PROTOCOL } };
    }
    if (routeKey === '$disconnect') await forgetConnection(deps, connectionId);
    else await handleMessage(deps, connectionId, body ?? '');
    return { statusCode: 200 };
  };
}
