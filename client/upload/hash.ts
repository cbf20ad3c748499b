import { combineCrc64Nvme, createCrc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import { partRange } from '../../contract/part-plan.ts';
import { checkAborted, MillraceError } from '../errors.ts';
import type { FileBytes, FileSource } from '../ports.ts';

/** The chunks of a body, whichever form it has. */
export async function* chunksOf(body: FileBytes): AsyncGenerator<Uint8Array> {
  if (!(body instanceof Blob)) return yield* body;
  const reader = body.stream().getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    // A File of a browser fails so once it has changed on disk.
    throw new MillraceError('FileUnreadableError', `the file cannot be read: ${cause}`, { cause });
  } finally {
    reader.releaseLock();
  }
}

async function hashBytes(source: FileSource, start: number, end: number, signal?: AbortSignal) {
  const hash = await createCrc64Nvme();
  for await (const chunk of chunksOf(source.read(start, end))) {
    checkAborted(signal);
    hash.update(chunk);
  }
  return hash;
}

/** The CRC64NVME of bytes `start` to `end` (exclusive), in base64. Throws `AbortedError`. */
export async function hashRange(source: FileSource, start: number, end: number, signal?: AbortSignal): Promise<string> {
  const elsewhere = await source.hash?.(start, end, signal);
  return elsewhere ?? (await hashBytes(source, start, end, signal)).digestBase64();
}

/** The contract's `Fingerprint` of a file: its size and the CRC64NVME of its first and of its last MiB. */
export async function fingerprint(source: FileSource, signal?: AbortSignal): Promise<string> {
  const size = source.sizeBytes;
  const first = (await hashBytes(source, 0, Math.min(MIB, size), signal)).digestHex();
  const last = (await hashBytes(source, Math.max(0, size - MIB), size, signal)).digestHex();
  return `${size}-${first}-${last}`;
}

/** The CRC64NVME of a whole file from those of its parts in order. */
export function combineParts(checksums: readonly string[], sizeBytes: number, partSizeBytes: number): string {
  return checksums.reduce((whole, checksum, index) => {
    const { start, end } = partRange(sizeBytes, partSizeBytes, index + 1);
    return combineCrc64Nvme(whole, checksum, end - start);
  });
}
