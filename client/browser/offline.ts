import type { PauseSource } from '../pause.ts';

/** Paused while the browser knows that there is no network. */
export const offline: PauseSource = {
  get paused() {
    return !navigator.onLine;
  },
  subscribe(listener) {
    globalThis.addEventListener('online', listener);
    globalThis.addEventListener('offline', listener);
    return () => {
      globalThis.removeEventListener('online', listener);
      globalThis.removeEventListener('offline', listener);
    };
  },
};
