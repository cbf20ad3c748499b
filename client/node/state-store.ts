import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { FileIdentity, SavedUpload, StateStore } from '../ports.ts';

/** Where the unfinished uploads of this user are noted, by the XDG rules. */
function defaultStateFolder(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'millrace');
}

/** Keeps each unfinished upload in a small JSON file of one folder; one that is not understood counts as missing. */
export function fileStateStore(folder: string = defaultStateFolder()): StateStore {
  const pathOf = (key: string) => join(folder, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
  return {
    async get(key) {
      const text = await readFile(pathOf(key), 'utf8').catch(() => undefined);
      return text === undefined ? undefined : parseSaved(text, key);
    },
    async set(key, saved) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Written aside and renamed: a reader finds the old or the new text, never half of one.
      const aside = `${pathOf(key)}.${randomUUID()}`;
      await writeFile(aside, JSON.stringify({ version: 1, key, ...saved }, null, 2), { mode: 0o600 });
      await rename(aside, pathOf(key));
    },
    delete: (key) => rm(pathOf(key), { force: true }),
  };
}

function parseSaved(text: string, key: string): SavedUpload | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || value.version !== 1 || value.key !== key || typeof value.uploadId !== 'string')
    return undefined;
  return { uploadId: value.uploadId, ...(isIdentity(value.identity) && { identity: value.identity }) };
}

function isIdentity(value: unknown): value is FileIdentity {
  return (
    isRecord(value) &&
    typeof value.path === 'string' &&
    typeof value.inode === 'string' &&
    typeof value.sizeBytes === 'number' &&
    typeof value.modifiedNs === 'string'
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
