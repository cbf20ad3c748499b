import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';

// A folder in one file: a line of JSON with the paths and sizes, then the bytes of all files, compressed by Brotli.

/** 16 MiB: the same bytes in two files are stored once. */
const params = { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 11 };

export async function packFolder(folder: string, archive: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(paths.sort().map(async (path) => ({ path, bytes: await readFile(path) })));
  const index = files.map(({ path, bytes }) => [relative(folder, path), bytes.length]);
  const content = Buffer.concat([Buffer.from(`${JSON.stringify(index)}\n`), ...files.map(({ bytes }) => bytes)]);
  await writeFile(archive, brotliCompressSync(content, { params }));
}

export async function unpackFolder(archive: string, folder: string): Promise<void> {
  const content = brotliDecompressSync(await readFile(archive));
  let start = content.indexOf(0x0a) + 1;
  for (const [path, size] of JSON.parse(content.toString('utf8', 0, start)) as [string, number][]) {
    await mkdir(dirname(join(folder, path)), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, path), content.subarray(start, start + size), { mode: 0o600 });
    start += size;
  }
}
