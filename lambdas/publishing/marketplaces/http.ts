import { setTimeout } from 'node:timers/promises';
import type * as z from 'zod/mini';
import { backoffMs, readRetryAfter } from '../../../contract/backoff.ts';
import { DomainError } from '../../../contract/errors.ts';
import { cutText } from '../../runtime/text.ts';
import { problemsOf } from '../../runtime/validation.ts';

/** A marketplace that asks for a longer pause is left until the job's next attempt. */
const MAX_PAUSES_MS = 60_000;
/** Of the pauses after a 429 without a Retry-After. */
const BACKOFF = { firstMs: 2_000, longestMs: 32_000 };
const MAX_TOLD_LENGTH = 500;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as a form: `multipart/form-data` of a FormData, else `application/x-www-form-urlencoded`. */
  readonly form?: URLSearchParams | FormData;
  /** Statuses beside 2xx that are answers and no errors. */
  readonly also?: readonly number[];
}

export interface HttpAnswer {
  readonly status: number;
  /** Parsed JSON; undefined if there is none. */
  readonly body: unknown;
  /** The body, as the API describes it; `MarketplaceUnavailableError` if it is something else. */
  read<Schema extends z.ZodMiniType>(schema: Schema): z.output<Schema>;
}

export interface HttpOptions {
  /** Such as `eBay`, for messages. */
  readonly marketplace: string;
  readonly timeoutSeconds: number;
  /** Ends a request, with its reason. */
  readonly signal: AbortSignal;
  /** Milliseconds that are left for all of it. */
  remaining(): number;
  /** Awaited at least every second of a pause. */
  heartbeat(): Promise<void>;
  /** The text without what is secret in it. */
  redact(text: string): string;
}

export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

/**
 * Sends requests, waiting as a 429 asks for. `MarketplaceUnavailableError` when there is no answer or one of 5xx: whether
 * the request was carried out is unknown then. `MarketplaceBusyError` when it is to wait for too long,
 * `CredentialsRefusedError` for 401 and 403, `ListingRefusedError` for other statuses.
 */
export function createSend(options: HttpOptions): Send {
  return async (request) => {
    let pausedMs = 0;
    for (let tries = 1; ; tries += 1) {
      const answer = await sendOnce(options, request);
      if (answer.status !== 429) return checkAnswer(options, request, answer);
      const pauseMs =
        answer.retryAfterSeconds === undefined ? backoffMs(tries, BACKOFF) : answer.retryAfterSeconds * 1_000;
      // As long again is left for the request itself.
      const most = Math.min(MAX_PAUSES_MS - pausedMs, options.remaining() / 2);
      if (pauseMs > most) {
        const message = `${options.marketplace} accepts no more requests for ${Math.ceil(pauseMs / 1_000)} s`;
        throw new DomainError('MarketplaceBusyError', message, { retry_after_seconds: Math.ceil(pauseMs / 1_000) });
      }
      pausedMs += pauseMs;
      await pause(options, pauseMs);
    }
  };
}

interface RawAnswer extends Omit<HttpAnswer, 'read'> {
  readonly text: string;
  readonly retryAfterSeconds: number | undefined;
}

async function sendOnce(
  { marketplace, timeoutSeconds, signal }: HttpOptions,
  { method, url, headers, json, form }: HttpRequest,
): Promise<RawAnswer> {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1_000);
  const body = form ?? (json === undefined ? null : JSON.stringify(json));
  try {
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body,
      // A marketplace's API redirects nowhere, and its tokens are for nobody else.
      redirect: 'error',
      signal: AbortSignal.any([signal, timeout]),
    });
    const text = await response.text();
    const retryAfterSeconds = readRetryAfter(response.headers.get('retry-after'));
    return { status: response.status, body: parseJson(text), text, retryAfterSeconds };
  } catch (error) {
    signal.throwIfAborted();
    const what = timeout.aborted ? `did not answer within ${timeoutSeconds} s` : 'could not be reached';
    throw new DomainError('MarketplaceUnavailableError', `${marketplace} ${what}`, {}, { cause: error });
  }
}

function checkAnswer(
  { marketplace, redact }: HttpOptions,
  { method, url, also = [] }: HttpRequest,
  { status, body, text }: RawAnswer,
): HttpAnswer {
  const answered = `${marketplace} answered ${method} ${new URL(url).pathname}`;
  if ((status >= 200 && status < 300) || also.includes(status)) {
    const read: HttpAnswer['read'] = (schema) => {
      const { success, data, error } = schema.safeParse(body);
      if (success) return data;
      const [problem] = problemsOf(error, 'the body');
      const message = `${answered} with ${status}, but with an unexpected body: ${problem?.field}: ${problem?.problem}`;
      throw new DomainError('MarketplaceUnavailableError', message, { status });
    };
    return { status, body, read };
  }
  const told = cutText(redact(messageOf(body) ?? text), MAX_TOLD_LENGTH);
  const message = `${answered} with ${status}: ${told}`;
  const code =
    status >= 500 || status === 408 || status === 409
      ? 'MarketplaceUnavailableError'
      : status === 401 || status === 403
        ? 'CredentialsRefusedError'
        : 'ListingRefusedError';
  throw new DomainError(code, message, { status });
}

/** Where eBay, Etsy and OAuth say what is wrong. */
function messageOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { errors, error, error_description } = body as Record<string, unknown>;
  if (Array.isArray(errors)) return errors.map((each) => String(each?.longMessage ?? each?.message)).join('; ');
  return [error, error_description].filter((each) => typeof each === 'string').join(': ') || undefined;
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function pause({ signal, heartbeat }: HttpOptions, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    await setTimeout(Math.min(left, 1_000), undefined, { signal }).catch(() => signal.throwIfAborted());
    await heartbeat();
  }
}
