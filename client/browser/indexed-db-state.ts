import { memoryStateStore } from '../memory-state.ts';
import type { StateStore } from '../ports.ts';
import { oldestOfUse, parseSaved } from '../saved-upload.ts';

const DATABASE = 'millrace';
const UPLOADS = 'uploads';

/**
 * Keeps uploads across reloads of the page and restarts of the browser; where IndexedDB is refused, such as in a sandboxed
 * frame, as long as the page lives. The page must be given the file again: finished files are then hashed and compared, too,
 * for a browser doesn't tell for certain whether a file is the same as before.
 */
export function indexedDbStateStore(): StateStore {
  const memory = memoryStateStore();
  let database: Promise<IDBDatabase> | undefined;
  const run = async <T>(mode: IDBTransactionMode, act: (uploads: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    database ??= open();
    const transaction = (await database).transaction(UPLOADS, mode);
    return settled(act(transaction.objectStore(UPLOADS)));
  };
  return {
    async get(key) {
      const value = await run<unknown>('readonly', (uploads) => uploads.get(key)).catch(() => undefined);
      return parseSaved(value) ?? memory.get(key);
    },
    async set(key, saved) {
      const value = { version: 1, savedMs: Date.now(), ...saved };
      await run('readwrite', (uploads) => uploads.put(value, key)).catch(() => memory.set(key, saved));
    },
    async delete(key) {
      await memory.delete(key);
      await run('readwrite', (uploads) => uploads.delete(key)).catch(() => undefined);
    },
  };
}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(UPLOADS);
  const database = await settled(request);
  removeOld(database.transaction(UPLOADS, 'readwrite').objectStore(UPLOADS));
  // Stands in nobody's way who deletes the page's data, or has a newer client.
  database.onversionchange = () => database.close();
  return database;
}

/** A call that nobody has repeated leaves its notes behind. */
function removeOld(uploads: IDBObjectStore): void {
  const request = uploads.openCursor();
  request.onsuccess = () => {
    const cursor = request.result;
    if (!cursor) return;
    // Earlier clients noted no time.
    if (!(cursor.value?.savedMs >= oldestOfUse())) cursor.delete();
    cursor.continue();
  };
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
