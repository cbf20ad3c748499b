import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { StateStore } from '../ports.ts';
import { parseSaved } from '../saved-upload.ts';

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
      return text === undefined ? undefined : parseSaved(parseJson(text));
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
