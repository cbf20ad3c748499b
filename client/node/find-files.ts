import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundFile } from '../ports.ts';
import { openFile } from './file-source.ts';

/** The file at `path`, or the files in the folder there and in its folders, by name; links to folders are not followed. */
export async function findFiles(path: string): Promise<FoundFile[]> {
  const stats = await stat(path).catch(() => undefined);
  const entries = stats?.isDirectory()
    ? await readdir(path, { withFileTypes: true }).catch(() => undefined)
    : undefined;
  // Opening it tells what is wrong, if anything.
  if (!entries) return [{ path, sizeBytes: stats?.size ?? 0, open: () => openFile(path) }];
  const found: FoundFile[][] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = join(path, entry.name);
    const isFolderLink = entry.isSymbolicLink() && (await stat(inside).catch(() => undefined))?.isDirectory();
    if (entry.isDirectory() || entry.isFile() || (entry.isSymbolicLink() && !isFolderLink)) {
      found.push(await findFiles(inside));
    }
  }
  return found.flat();
}
