import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { SignatureV4 } from '@smithy/signature-v4';
import { backoffMs } from '../../contract/backoff.ts';
import type { Push } from '../ports/push.ts';

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

const TIMEOUT_MS = 3_000;
/** Pauses of up to 100 + 200 ms. */
const MAX_TRIES = 3;
const BACKOFF = { firstMs: 100, longestMs: 200 };

/** A `Push` with the credentials of the function, which Lambda sets in its environment. */
export function openGatewayPush(endpoint: string): GatewayPush {
  const { AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  if (!AWS_REGION || !AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY)
    throw new Error('the environment has no credentials of a Lambda function');
  const credentials = {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    ...(AWS_SESSION_TOKEN ? { sessionToken: AWS_SESSION_TOKEN } : {}),
  };
  return new GatewayPush({ endpoint, region: AWS_REGION, credentials });
}

/**
 * A `Push` by the management API of a WebSocket API of API Gateway, signed here: that API has two calls, and its client
 * would be the largest part of the function.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
 */
export class GatewayPush implements Push {
  readonly #endpoint: URL;
  readonly #signer: SignatureV4;

  /** `endpoint`: the stage's callback URL. */
  constructor(options: { endpoint: string; region: string; credentials: Credentials }) {
    this.#endpoint = new URL(options.endpoint);
    const { region, credentials } = options;
    this.#signer = new SignatureV4({ service: 'execute-api', region, credentials, sha256: Sha256 });
  }

  async send(connectionId: string, message: string): Promise<boolean> {
    const status = await this.#untilAnswered('POST', connectionId, message);
    if (status === 200) return true;
    // Throttled, or not reached again and again: without this message it must not be told the next one.
    if (status !== 410) await this.#untilAnswered('DELETE', connectionId);
    return false;
  }

  /** API Gateway has no codes of ours. */
  async close(connectionId: string): Promise<void> {
    await this.#untilAnswered('DELETE', connectionId);
  }

  /** The status; 0 if there was none. What no repeat can heal throws: the function's configuration is wrong. */
  async #untilAnswered(method: 'POST' | 'DELETE', connectionId: string, body?: string): Promise<number> {
    let status = 0;
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      if (attempt > 0) await pause(backoffMs(attempt, BACKOFF));
      status = await this.#request(method, connectionId, body).catch(() => 0);
      if (status >= 200 && status < 300) return 200;
      if (status === 410) return status;
      if (status >= 400 && status < 500 && status !== 429) {
        throw new Error(`API Gateway answers ${status} to ${method} @connections`);
      }
    }
    return status;
  }

  async #request(method: string, connectionId: string, body: string | undefined): Promise<number> {
    const { protocol, hostname, host, port, pathname } = this.#endpoint;
    const path = `${pathname.replace(/\/$/, '')}/@connections/${encodeURIComponent(connectionId)}`;
    const signed = await this.#signer.sign({
      method,
      protocol,
      hostname,
      ...(port ? { port: Number(port) } : {}),
      path,
      query: {},
      headers: { host },
      ...(body === undefined ? {} : { body }),
    });
    const { host: _, ...headers } = signed.headers;
    const response = await fetch(`${protocol}//${host}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.status;
  }
}

/** The hash that the signer asks for. */
class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: Parameters<typeof createHmac>[1] | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as string);
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(data as string);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}
