import { styleText } from 'node:util';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Results go to stdout, as text or as one JSON object a line; whatever else there is to say goes to stderr. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;

  constructor({ json, quiet }: OutputOptions) {
    this.json = json;
    this.quiet = quiet;
  }

  /** A result, in the form that was asked for. */
  result(event: { readonly type: string } & Record<string, unknown>, text: string): void {
    process.stdout.write(`${this.json ? JSON.stringify(event) : text}\n`);
  }

  /** A listing: a table, or one object a line. */
  list(type: string, items: readonly unknown[], text: string): void {
    if (!this.json) return void process.stdout.write(`${text}\n`);
    for (const item of items) process.stdout.write(`${JSON.stringify({ type, [type]: item })}\n`);
  }

  /** Something on the way, for programs only. */
  event(event: { readonly type: string } & Record<string, unknown>): void {
    if (this.json && !this.quiet) process.stdout.write(`${JSON.stringify(event)}\n`);
  }

  /** Something on the way, for people only. */
  note(text: string): void {
    if (!this.json && !this.quiet) process.stderr.write(`${text}\n`);
  }

  error(text: string): void {
    process.stderr.write(`${styleText('red', 'millrace:', { stream: process.stderr })} ${text}\n`);
  }
}

/** Rows under headings, columns as wide as their widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [headings, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

/** `1:02:03` or `2:03`. */
export function formatSeconds(seconds: number): string {
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  const rest = String(Math.floor(seconds % 60)).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

/** A word as a POSIX shell reads it. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
