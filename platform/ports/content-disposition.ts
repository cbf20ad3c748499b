// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced here
const NOT_FOR_FILE_NAMES = /[\u0000-\u001f\u007f/\\]/g;

/**
 * A `Content-Disposition` that has a browser save under `fileName`, whatever it holds: path separators and control
 * characters become `_`, the rest is exact in `filename*` (RFC 8187), and in ASCII for those who don't know it (RFC 6266).
 */
export function attachment(fileName: string): string {
  const name = fileName.toWellFormed().replace(NOT_FOR_FILE_NAMES, '_');
  const ascii = name.replace(/[^\x20-\x7e]|["%]/gu, '_');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${percentEncode(name)}`;
}

/** RFC 3986: also what `encodeURIComponent` leaves alone. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}
