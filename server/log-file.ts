import { existsSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { MIB } from '../contract/limits.ts';
import { createLog } from '../lambdas/runtime/log.ts';
import type { Log } from '../platform/ports/log.ts';

/** A log of this size is put aside when the server starts; the one put aside before goes. */
const MAX_LOG_BYTES = 16 * MIB;

/** Appends to a file one JSON object a line; any number of threads may share the file. */
export function openLogFile(path: string, context: Readonly<Record<string, unknown>>): Log {
  const descriptor = openSync(path, 'a', 0o600);
  return createLog(context, (line) => void writeSync(descriptor, `${line}\n`));
}

export function rotateLogFile(path: string): void {
  if (existsSync(path) && statSync(path).size > MAX_LOG_BYTES) renameSync(path, `${path}.1`);
}
