/** No answer came, or only a part of one, after the SDK's own tries: what was asked for may have been done. */
export function isConnectionFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'TimeoutError' || ('code' in error && /^E(?!RR_)/.test(String(error.code)));
}
