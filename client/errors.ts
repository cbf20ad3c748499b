import { readRetryAfter } from '../contract/backoff.ts';
import type { ErrorBody, ErrorCode, ErrorDetails } from '../contract/errors.ts';

/** What goes wrong on this side of the wire, beside the API's own codes. */
export type ClientErrorCode =
  /** The server or the object store cannot be reached, or the connection was cut; it was tried again before. */
  | 'NetworkError'
  /** The caller's signal was aborted. An upload's session stays open and can be resumed. */
  | 'AbortedError'
  /** The answer is not one that the API gives: is the URL right? */
  | 'UnexpectedAnswerError'
  /** The object store refused bytes or a URL, also after they were sent or signed again. */
  | 'StorageRefusedError'
  /** The file is not the one that the upload began with, or it changed while it was read. */
  | 'FileChangedError'
  /** The file cannot be read. */
  | 'FileUnreadableError'
  /** The file that a download is to become cannot be written. */
  | 'FileUnwritableError'
  /** A downloaded file differs from its receipt. */
  | 'DownloadMismatchError';

export interface MillraceErrorOptions {
  readonly details?: ErrorDetails;
  readonly requestId?: string;
  /** Of the HTTP answer, if there was one. */
  readonly status?: number;
  /** Seconds that the server asked to wait. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** The one error that the client throws. Switch on `code`: codes are stable, messages are not. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError';
  readonly code: ErrorCode | ClientErrorCode;
  readonly details: ErrorDetails;
  readonly requestId: string | undefined;
  readonly status: number | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode | ClientErrorCode, message: string, options: MillraceErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.requestId = options.requestId;
    this.status = options.status;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export function abortedError(signal: AbortSignal): MillraceError {
  return new MillraceError('AbortedError', 'stopped by the caller', { cause: signal.reason });
}

/** Throws `AbortedError` if the signal is aborted. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/** The innermost code or message of a failed connection: `ECONNREFUSED` says more than `fetch failed`. */
export function networkError(what: string, cause: unknown): MillraceError {
  let inner = cause;
  while (inner instanceof Error && inner.cause) inner = inner.cause;
  const reason = inner instanceof Error ? ((inner as { code?: unknown }).code ?? inner.message) : inner;
  return new MillraceError('NetworkError', `${what}: ${String(reason)}`, { cause });
}

/** An answer of the API that is not a success, as an error. */
export function answerError(response: Response, text: string): MillraceError {
  const common = {
    status: response.status,
    retryAfterSeconds: readRetryAfter(response.headers.get('retry-after')),
  };
  const body = parseErrorBody(text);
  if (body) {
    return new MillraceError(body.error, body.message, {
      ...common,
      details: body.details,
      requestId: body.request_id,
    });
  }
  return new MillraceError(
    'UnexpectedAnswerError',
    `${response.url} answered ${response.status} without the API's error body: check the URL`,
    common,
  );
}

function parseErrorBody(text: string): ErrorBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return undefined;
    const { error, message, details, request_id } = body as Partial<ErrorBody>;
    if (typeof error !== 'string' || typeof message !== 'string') return undefined;
    return { error, message, details: details ?? {}, request_id: request_id ?? '' };
  } catch {
    return undefined;
  }
}
