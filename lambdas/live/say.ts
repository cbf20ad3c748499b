import type { ServerMessage } from '../../contract/live.ts';

/** Of a message of events or states: API Gateway's frames have 32 KB at most, and the envelope needs some of it. */
const MAX_ITEMS_BYTES = 30_000;

export function say(message: ServerMessage): string {
  return JSON.stringify(message);
}

/** Items in as few messages as their sizes allow. */
export function inMessages<T>(items: readonly T[]): T[][] {
  const messages: T[][] = [];
  let bytes = MAX_ITEMS_BYTES;
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1;
    bytes += size;
    if (bytes > MAX_ITEMS_BYTES) {
      messages.push([]);
      bytes = size;
    }
    messages.at(-1)?.push(item);
  }
  return messages;
}
