import type { ObjectStore } from '../../../platform/ports/object-store.ts';

/** A longer line is no row of numbers: it is reported as bad instead of being held in memory. */
export const MAX_LINE_BYTES = 1_048_576;
/** What is read at a time to find the end of a range's last line. */
const TAIL_BYTES = 65_536;
const NEWLINE = 10;

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** The line that was longer than MAX_LINE_BYTES stands as undefined. */
export type Line = string | undefined;

/**
 * The lines whose first byte lies in the range, in batches: ranges that cover an object give each of its lines
 * exactly once. Ends of line (`\n`, `\r\n`) are not part of them; an empty line at the object's end is none.
 */
export async function* readLines(
  objects: ObjectStore,
  object: { key: string; sizeBytes: number },
  range: ByteRange,
): AsyncGenerator<Line[]> {
  // One byte early: if that is a newline, a line starts at `start`; else that line is the range before's.
  const splitter = new LineSplitter(range.start > 0);
  for await (const chunk of await objects.read(object.key, { start: Math.max(0, range.start - 1), end: range.end })) {
    yield splitter.push(chunk);
  }
  for (let from = range.end; splitter.unfinished && from < object.sizeBytes; from += TAIL_BYTES) {
    const tail = await objects.read(object.key, { start: from, end: Math.min(from + TAIL_BYTES, object.sizeBytes) });
    for await (const chunk of tail) {
      if (!splitter.unfinished) break;
      yield splitter.finish(chunk);
    }
  }
  yield splitter.end();
}

/** Cuts chunks of bytes into lines. */
export class LineSplitter {
  #carry: Buffer[] = [];
  #carryBytes = 0;
  #tooLong = false;
  #skipping: boolean;

  constructor(skipFirst = false) {
    this.#skipping = skipFirst;
  }

  /** Whether a line has begun and not ended. */
  get unfinished(): boolean {
    return !this.#skipping && (this.#carryBytes > 0 || this.#tooLong);
  }

  push(chunk: Uint8Array): Line[] {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#skipping) {
      const first = bytes.indexOf(NEWLINE);
      if (first < 0) return [];
      this.#skipping = false;
      bytes = bytes.subarray(first + 1);
    }
    const last = bytes.lastIndexOf(NEWLINE);
    if (last < 0) {
      this.#keep(bytes);
      return [];
    }
    const lines: Line[] = [];
    const first = bytes.indexOf(NEWLINE);
    this.#keep(bytes.subarray(0, first));
    lines.push(this.#take());
    // A batch is one chunk long, so lines that are too long can only have been carried over.
    if (last > first) for (const line of bytes.toString('utf8', first + 1, last).split('\n')) lines.push(trimEnd(line));
    this.#keep(bytes.subarray(last + 1));
    return lines;
  }

  /** Takes bytes up to the end of the line that has begun, and no more. */
  finish(chunk: Uint8Array): Line[] {
    const newline = chunk.indexOf(NEWLINE);
    if (newline < 0) return this.push(chunk);
    return this.push(chunk.subarray(0, newline + 1));
  }

  end(): Line[] {
    return this.unfinished ? [this.#take()] : [];
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0 || this.#tooLong) return;
    this.#carry.push(bytes);
    this.#carryBytes += bytes.length;
    if (this.#carryBytes > MAX_LINE_BYTES) {
      this.#carry = [];
      this.#tooLong = true;
    }
  }

  #take(): Line {
    const line = this.#tooLong ? undefined : trimEnd(Buffer.concat(this.#carry).toString('utf8'));
    this.#carry = [];
    this.#carryBytes = 0;
    this.#tooLong = false;
    return line;
  }
}

export function countNewlines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

function trimEnd(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
