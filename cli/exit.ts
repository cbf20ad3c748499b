import { MillraceError } from 'millrace';

/** The exit codes of the process; documented in `millrace --help`. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, jobNotCompleted: 4, interrupted: 130 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Invalid arguments that only the command itself can detect. */
export class UsageError extends Error {}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof MillraceError)) return EXIT.failed;
  if (error.code === 'AbortedError') return EXIT.interrupted;
  const isRefusal = ['StorageRefusedError', 'QuotaExceededError'].includes(error.code);
  const notFound = [401, 403, 404].includes(error.status ?? 0) && !isRefusal;
  return notFound || error.code === 'UnauthenticatedError' ? EXIT.notFound : EXIT.failed;
}

/** The error as a JSON event. */
export function errorEvent(error: unknown): { type: 'error'; code: string; message: string; request_id?: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof MillraceError)) {
    return { type: 'error', code: error instanceof UsageError ? 'UsageError' : 'InternalError', message };
  }
  return { type: 'error', code: error.code, message, ...(error.requestId && { request_id: error.requestId }) };
}

/** The error as one sentence, with the code and the request id to quote in a report. */
export function describeError(error: unknown): string {
  if (!(error instanceof MillraceError)) return error instanceof Error ? error.message : String(error);
  const request = error.requestId ? `, request ${error.requestId}` : '';
  const advice = error.code === 'NetworkError' ? '; check that the server is running and reachable' : '';
  return `${error.message} (${error.code}${request})${advice}`;
}
