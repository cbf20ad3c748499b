import { describe, expect, it } from 'vitest';
import { findFiles } from '../../client/browser/find-files.ts';

const isFile = { isFile: true, isDirectory: false };
const isFolder = { isFile: false, isDirectory: true };
const nameOf = (fullPath: string) => fullPath.slice(fullPath.lastIndexOf('/') + 1);
const gone = new DOMException('gone', 'NotReadableError');

function fileEntry(fullPath: string): FileSystemEntry {
  const file = (resolve: FileCallback) => resolve(new File(['x'], nameOf(fullPath)));
  return { ...isFile, fullPath, name: nameOf(fullPath), file } as unknown as FileSystemEntry;
}

/** As browsers do, it reads entry by entry; `breaks` after the last instead of telling that there are no more. */
function folderEntry(fullPath: string, entries: readonly FileSystemEntry[], { breaks = false } = {}): FileSystemEntry {
  const createReader = () => {
    const left = [...entries];
    return {
      readEntries(resolve: FileSystemEntriesCallback, reject: ErrorCallback) {
        if (left.length === 0 && breaks) reject(gone);
        else resolve(left.splice(0, 1));
      },
    };
  };
  return { ...isFolder, fullPath, name: nameOf(fullPath), createReader } as unknown as FileSystemEntry;
}

describe('finding the files of a dropped folder', () => {
  it('tells a folder that cannot be read as one that fails when it is opened, and finds the others', async () => {
    const found = await findFiles(
      folderEntry('/data', [
        fileEntry('/data/b.txt'),
        folderEntry('/data/broken', [fileEntry('/data/broken/c.txt')], { breaks: true }),
        folderEntry('/data/a', [fileEntry('/data/a/d.txt')]),
      ]),
    );
    expect(found.map(({ path }) => path)).toEqual(['data/a/d.txt', 'data/b.txt', 'data/broken']);
    expect((await found[0]?.open())?.name).toBe('d.txt');
    await expect(found[2]?.open()).rejects.toMatchObject({
      code: 'FileUnreadableError',
      message: '/data/broken cannot be read: gone',
    });
  });
});
