import type { SavedUpload, StateStore } from './ports.ts';

/** Remembers unfinished uploads as long as the process or page lives. */
export function memoryStateStore(): StateStore {
  const saved = new Map<string, SavedUpload>();
  return {
    get: async (key) => saved.get(key),
    set: async (key, upload) => void saved.set(key, upload),
    delete: async (key) => void saved.delete(key),
  };
}
