import { type FileHandle, open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { MIB } from '../../contract/limits.ts';
import { MillraceError } from '../errors.ts';
import type { FileSource } from '../ports.ts';
import { systemReason } from './system-error.ts';

/** Each reader has one buffer of this size, which others use after it: what a part in flight costs in memory. */
const CHUNK_BYTES = MIB;

/** Opens a file on disk. The handle stays with this file, should another one take its name meanwhile. */
export async function openFile(path: string): Promise<FileSource> {
  const handle = await open(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new MillraceError('FileUnreadableError', `${path} is not a file`);
    const free: Buffer[] = [];
    return {
      name: basename(path),
      sizeBytes: stats.size,
      read: (start, end) => readRange(handle, path, start, end, free),
      identity: async () => {
        const now = await handle.stat({ bigint: true });
        return {
          path: resolve(path),
          inode: `${now.dev}:${now.ino}`,
          sizeBytes: Number(now.size),
          modifiedNs: `${now.mtimeNs}`,
        };
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function* readRange(
  handle: FileHandle,
  path: string,
  start: number,
  end: number,
  free: Buffer[],
): AsyncGenerator<Uint8Array> {
  const buffer = free.pop() ?? Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - start));
  try {
    for (let position = start; position < end; ) {
      const length = Math.min(buffer.length, end - position);
      const { bytesRead } = await handle.read(buffer, 0, length, position).catch((cause: unknown) => {
        throw unreadable(path, cause);
      });
      if (bytesRead === 0) throw new MillraceError('FileChangedError', `${path} became shorter while it was read`);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    free.push(buffer);
  }
}

function unreadable(path: string, cause: unknown): MillraceError {
  return new MillraceError('FileUnreadableError', `${path} cannot be read: ${systemReason(cause)}`, { cause });
}
