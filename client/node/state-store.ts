import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { StateStore } from '../ports.ts';
import { oldestOfUse, parseSaved } from '../saved-upload.ts';

/** Where the unfinished uploads of this user are noted, by the XDG rules. */
function defaultStateFolder(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'millrace');
}

/** A note, or what a process that was killed has written of one. */
const NOTE = /^[0-9a-f]{32}\.json(\.|$)/;

/** Keeps each upload in a small JSON file of one folder; one that is not understood counts as missing. */
export function fileStateStore(folder: string = defaultStateFolder()): StateStore {
  const pathOf = (key: string) => join(folder, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
  let cleaned = false;
  return {
    async get(key) {
      const text = await readFile(pathOf(key), 'utf8').catch(() => undefined);
      return text === undefined ? undefined : parseSaved(parseJson(text));
    },
    async set(key, saved) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      if (!cleaned) removeOld(folder).catch(() => undefined);
      cleaned = true;
      // Written aside and renamed: a reader finds the old or the new text, never half of one.
      const aside = `${pathOf(key)}.${randomUUID()}`;
      await writeFile(aside, JSON.stringify({ version: 1, key, ...saved }, null, 2), { mode: 0o600 });
      await rename(aside, pathOf(key));
    },
    delete: (key) => rm(pathOf(key), { force: true }),
  };
}

/** A call that nobody has repeated leaves its notes behind. */
async function removeOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (NOTE.test(name) && (await stat(path)).mtimeMs < oldestOfUse()) await rm(path, { force: true });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
