import type { ObjectStore } from './object-store.ts';

/** Reads an object, or a range of it, into memory; the caller knows that it fits. `FileNotFoundError` as of `read`. */
export async function readObject(
  objects: Pick<ObjectStore, 'read'>,
  key: string,
  range?: { start: number; end?: number },
): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await objects.read(key, range)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
