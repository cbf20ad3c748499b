import type { FileSource } from './ports.ts';

/** A File, a Blob or bytes in memory as a source; slices of a File are read from disk only when they are sent. */
export function blobSource(source: Blob | Uint8Array<ArrayBuffer>) {
  const blob = source instanceof Blob ? source : new Blob([source]);
  return {
    name: blob instanceof File ? blob.name : 'unnamed',
    sizeBytes: blob.size,
    ...(blob.type && { contentType: blob.type }),
    read: (start: number, end: number) => blob.slice(start, end),
    close: async () => {},
  } satisfies FileSource;
}
