import { KIB } from '../../contract/limits.ts';
import { blobSource } from '../blob-source.ts';
import { MillraceError } from '../errors.ts';
import type { FileSource, FoundFile } from '../ports.ts';
import { hashInWorker } from './worker-hash.ts';

/** What can be uploaded in a browser: a File, a Blob, bytes, or what was dropped on the page (`webkitGetAsEntry()`). */
export type UploadSource = Blob | Uint8Array<ArrayBuffer> | FileSystemEntry;

export async function openSource(source: UploadSource): Promise<FileSource> {
  if (source instanceof Blob || source instanceof Uint8Array) return hashedInWorker(source);
  if (!source.isFile) throw new MillraceError('FileUnreadableError', `${source.fullPath} is not a file`);
  return hashedInWorker(await fileOf(source as FileSystemFileEntry));
}

/** So few bytes are hashed sooner than told to a worker. */
const FEW_BYTES = 256 * KIB;

function hashedInWorker(source: Blob | Uint8Array<ArrayBuffer>): FileSource {
  const file = blobSource(source);
  return {
    ...file,
    hash: async (start, end, signal) =>
      end - start > FEW_BYTES ? hashInWorker(file.read(start, end), signal) : undefined,
  };
}

/** The file itself, or the files of a dropped folder; those of a folder that was picked are single files already. */
export async function findFiles(source: UploadSource): Promise<FoundFile[]> {
  if (source instanceof Blob || source instanceof Uint8Array) {
    const file = hashedInWorker(source);
    const path = (source instanceof File && source.webkitRelativePath) || file.name;
    return [{ path, sizeBytes: file.sizeBytes, open: async () => file }];
  }
  const path = source.fullPath.replace(/^\//, '');
  if (source.isDirectory) {
    try {
      const entries = await entriesOf(source as FileSystemDirectoryEntry);
      return (await Promise.all(entries.map(findFiles))).flat();
    } catch (error) {
      // It fails alone, when its turn comes: what is in the folders beside it is sent.
      return [{ path, sizeBytes: 0, open: () => Promise.reject(error) }];
    }
  }
  const file = await fileOf(source as FileSystemFileEntry).catch(() => undefined);
  return [{ path, sizeBytes: file?.size ?? 0, open: () => openSource(source) }];
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => {
    entry.file(resolve, (cause) => reject(unreadable(entry, cause)));
  });
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    // Each call answers with some of the entries, until there are none left.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, (cause) => reject(unreadable(folder, cause)));
    });
    if (some.length === 0) return found.sort((a, b) => (a.name < b.name ? -1 : 1));
    found.push(...some);
  }
}

function unreadable({ fullPath }: FileSystemEntry, cause: DOMException): MillraceError {
  return new MillraceError('FileUnreadableError', `${fullPath} cannot be read: ${cause.message}`, { cause });
}
