import { afterEach } from 'vitest';
import './refuse-connections.mjs';

declare global {
  var refusedConnections: string[];
}

/** Processes that tests start refuse them, too. */
const guard = `--import=${new URL('./refuse-connections.mjs', import.meta.url).href}`;
if (!process.env.NODE_OPTIONS?.includes(guard)) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${guard}`.trim();
}

afterEach(() => {
  const refused = globalThis.refusedConnections.splice(0);
  if (refused.length > 0) throw new Error(`the test connects further than to this machine: ${refused.join(', ')}`);
});
