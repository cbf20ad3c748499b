import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createCrc64Nvme } from '../../contract/crc64nvme.ts';
import { KIB, MIB } from '../../contract/limits.ts';

/** Bytes gathered for one write; as many are on their way to the disk meanwhile, so a writer holds twice this. */
const WRITE_BYTES = MIB;
/** Direct I/O writes whole blocks, from memory that begins at one; no disk has larger ones than this. */
const BLOCK_BYTES = 4 * KIB;
/** Pairs of buffers that are kept for later writers. */
const KEPT_BUFFERS = 32;
const WASM_PAGE_BYTES = 64 * KIB;
const READ_BYTES = 256 * KIB;

export interface WrittenFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly checksumCrc64Nvme: string;
}

/** A range of a file. */
export interface FileSlice {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/**
 * A folder of files that are written once, under random names, in 256 sub-folders. Whether a file counts is not decided
 * here: one that no database row names is left over from a crash.
 */
export class ObjectFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const parent = openSync(dirname(folder), 'r');
    fsyncSync(parent);
    closeSync(parent);
  }

  /**
   * Writes a new file, hashing as it goes; it is on disk when this resolves, and gone when it rejects. The bytes go past
   * the page cache where the file system lets them: they are to be on disk anyway, and filling the cache costs more than
   * the write.
   */
  async write(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<WrittenFile> {
    const name = randomBytes(16).toString('hex');
    const handle = await this.#create(name);
    try {
      const [written] = await Promise.all([writeAndHash(handle, chunks), syncFolder(dirname(this.#path(name)))]);
      await handle.datasync();
      return { name, ...written };
    } catch (error) {
      await this.remove([name]);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async *read(slices: readonly FileSlice[]): AsyncGenerator<Uint8Array, void, undefined> {
    for (const { name, start, end } of slices) {
      const handle = await open(this.#path(name), 'r');
      try {
        for (let position = start; position < end; ) {
          const length = Math.min(READ_BYTES, end - position);
          const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(length), 0, length, position);
          if (bytesRead === 0) throw new Error(`file ${name} is shorter than recorded`);
          position += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      } finally {
        await handle.close();
      }
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) await rm(this.#path(name), { force: true });
  }

  /** The files that are there, by the two characters that their names begin with. */
  async *shards(): AsyncGenerator<{ shard: string; names: readonly string[] }, void, undefined> {
    for (let i = 0; i < 256; i++) {
      const shard = i.toString(16).padStart(2, '0');
      yield { shard, names: await readdir(join(this.#folder, shard)).catch(emptyIfMissing) };
    }
  }

  #path(name: string): string {
    return join(this.#folder, name.slice(0, 2), name);
  }

  async #create(name: string): Promise<FileHandle> {
    const path = this.#path(name);
    try {
      return await createFile(path);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await syncFolder(this.#folder);
    return createFile(path);
  }
}

async function createFile(path: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  // macOS and Windows don't have it; a file system that doesn't says EINVAL, some with the file created.
  const { O_DIRECT = 0 } = constants as Partial<typeof constants>;
  try {
    return await open(path, flags | O_DIRECT, 0o600);
  } catch (error) {
    if (!hasCode(error, 'EINVAL')) throw error;
    await rm(path, { force: true });
    return open(path, flags, 0o600);
  }
}

export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function emptyIfMissing(error: unknown): string[] {
  if (isMissing(error)) return [];
  throw error;
}

type Buffers = readonly [Uint8Array, Uint8Array];
const keptBuffers: Buffers[] = [];

/** WebAssembly's memory begins at a page; Node doesn't say where its buffers begin. */
function takeBuffers(): Buffers {
  const kept = keptBuffers.pop();
  if (kept) return kept;
  const pages = (2 * WRITE_BYTES) / WASM_PAGE_BYTES;
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return [new Uint8Array(buffer, 0, WRITE_BYTES), new Uint8Array(buffer, WRITE_BYTES, WRITE_BYTES)];
}

async function writeAndHash(
  handle: FileHandle,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Omit<WrittenFile, 'name'>> {
  const hash = await createCrc64Nvme();
  const buffers = takeBuffers();
  let [batch, next] = buffers;
  let batchBytes = 0;
  let sizeBytes = 0;
  let writing = Promise.resolve();
  const flush = async () => {
    // One batch is written while the next one arrives; not reading on until it is written holds the sender back.
    await writing;
    const wholeBlocks = Math.ceil(batchBytes / BLOCK_BYTES) * BLOCK_BYTES;
    writing = writeAll(handle, batch.subarray(0, wholeBlocks), sizeBytes);
    writing.catch(() => {}); // Awaited later, and not reported as unhandled until then.
    [batch, next] = [next, batch];
    sizeBytes += batchBytes;
    batchBytes = 0;
  };
  try {
    for await (const chunk of chunks) {
      for (let taken = 0; taken < chunk.length; ) {
        const piece = chunk.subarray(taken, taken + WRITE_BYTES - batchBytes);
        // Now, while the processor has the bytes at hand.
        hash.update(piece);
        batch.set(piece, batchBytes);
        batchBytes += piece.length;
        taken += piece.length;
        if (batchBytes === WRITE_BYTES) await flush();
      }
    }
    await flush();
  } finally {
    await writing.finally(() => keptBuffers.length < KEPT_BUFFERS && keptBuffers.push(buffers));
  }
  if (sizeBytes % BLOCK_BYTES > 0) await handle.truncate(sizeBytes);
  return { sizeBytes, checksumCrc64Nvme: hash.digestBase64() };
}

/** A write may take fewer bytes than it was given, though whole blocks. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

/** Makes a new name in a folder survive a power failure. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
