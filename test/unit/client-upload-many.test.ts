import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Millrace, memoryStateStore, type UploadManyProgress, type UploadResult } from '../../client/index.ts';
import { type ScriptedServer, startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const PART = 64 * 1024;

let folder: string;
let server: ScriptedServer;
let client: Millrace;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'client-many-'));
  server = await startScriptedServer({ partSizeBytes: PART });
  client = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore() });
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

async function makeFile(name: string, bytes: Uint8Array = randomBytes(10)) {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

const fileOf = (result: UploadResult | undefined) => (result?.state === 'completed' ? result.file : undefined);
const codeOf = (result: UploadResult) => result.state === 'failed' && 'code' in result.error && result.error.code;
const puts = () => server.trace.filter((line) => line.startsWith('put '));

describe('finding files', () => {
  it('takes files, folders with all that is in them, URLs and bytes, and keeps their paths', async () => {
    const names = ['photos/b.jpg', 'photos/a/deep/c.jpg', 'photos/a/d.jpg', 'notes.txt'];
    const bytes = new Map<string, Buffer>();
    for (const name of names) {
      bytes.set(name, randomBytes(100));
      await makeFile(name, bytes.get(name));
    }
    await symlink(join(folder, 'photos'), join(folder, 'photos', 'a', 'round'));
    await symlink(join(folder, 'notes.txt'), join(folder, 'photos', 'link.txt'));
    const results = await client.uploads.uploadMany([
      join(folder, 'photos'),
      pathToFileURL(join(folder, 'notes.txt')),
      new File(['x'], 'memory.txt'),
    ]);
    const found = ['photos/a/d.jpg', 'photos/a/deep/c.jpg', 'photos/b.jpg', 'photos/link.txt', 'notes.txt'];
    expect(results.map(({ path }) => path)).toEqual([...found.map((name) => join(folder, name)), 'memory.txt']);
    expect(results.map((result) => fileOf(result)?.name)).toEqual([
      'd.jpg',
      'c.jpg',
      'b.jpg',
      'link.txt',
      'notes.txt',
      'memory.txt',
    ]);
    for (const [index, name] of found.entries()) {
      const expected = bytes.get(name) ?? bytes.get('notes.txt');
      expect(server.bytesOf(fileOf(results[index])?.id ?? '')).toEqual(expected);
    }
  });

  it('answers with no results for an empty folder', async () => {
    await mkdir(join(folder, 'empty'));
    expect(await client.uploads.uploadMany([join(folder, 'empty')])).toEqual([]);
  });
});

describe('many at once', () => {
  it('tells each file’s failure and uploads the others', async () => {
    const good = await makeFile('good.bin');
    const dangling = join(folder, 'dangling');
    await symlink(join(folder, 'nowhere'), dangling);
    const ended: string[] = [];
    const results = await client.uploads.uploadMany([join(folder, 'none'), good, dangling], {
      onResult: ({ path, state }) => ended.push(`${path} ${state}`),
    });
    expect(results.map(({ state }) => state)).toEqual(['failed', 'completed', 'failed']);
    expect(results.map(codeOf)).toEqual(['FileUnreadableError', false, 'FileUnreadableError']);
    expect(ended.sort()).toEqual(results.map(({ path, state }) => `${path} ${state}`).sort());
  });

  it('makes a file of each of two equal ones', async () => {
    const bytes = randomBytes(3 * PART);
    for (const name of ['a/same.bin', 'b/same.bin', 'c/same.bin']) await makeFile(name, bytes);
    const results = await client.uploads.uploadMany([folder]);
    const files = results.map(fileOf);
    expect(new Set(files.map((file) => file?.id)).size).toBe(3);
    for (const file of files) expect(server.bytesOf(file?.id ?? '')).toEqual(bytes);
  });

  it('lets small files pass a large one', async () => {
    const large = await makeFile('a-large.bin', randomBytes(60 * PART));
    const small = await Promise.all(Array.from({ length: 20 }, (_, index) => makeFile(`small-${index}.bin`)));
    const ended: string[] = [];
    await client.uploads.uploadMany([large, ...small], {
      concurrency: 2,
      onResult: ({ path }) => ended.push(path),
    });
    expect(ended).toHaveLength(21);
    expect(ended.at(-1)).toBe(large);
  });

  it('adds up progress that never goes down and ends at 100 %', async () => {
    for (let index = 0; index < 12; index++) await makeFile(`${index}.bin`, randomBytes(index * PART + 1));
    server.faults['put 2'] = ['cut', { status: 503 }];
    const seen: UploadManyProgress[] = [];
    await client.uploads.uploadMany([folder], { onProgress: (progress) => seen.push(progress) });
    for (const figure of ['bytesSent', 'percent', 'filesDone'] as const) {
      const values = seen.map((progress) => progress[figure]);
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
    expect(seen.filter(({ file }) => file.phase === 'done')).toHaveLength(12);
    const bytesTotal = 12 + 66 * PART;
    expect(seen.at(-1)).toMatchObject({
      bytesSent: bytesTotal,
      bytesTotal,
      percent: 100,
      filesDone: 12,
      fileCount: 12,
    });
    expect(seen.slice(0, -1).every(({ percent }) => percent < 100)).toBe(true);
  });

  it('U3 tells what was done when it is stopped, and the same call sends no finished part again', async () => {
    const paths = await Promise.all(
      Array.from({ length: 10 }, (_, index) => makeFile(`${index}.bin`, randomBytes(10 * PART))),
    );
    const stop = new AbortController();
    const go = () => undefined;
    server.faults['put 5'] = [go, go, () => stop.abort() ?? 'cut'];
    const results = await client.uploads.uploadMany(paths, { concurrency: 3, signal: stop.signal });
    const failed = results.filter(({ state }) => state === 'failed');
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.map(codeOf)).toEqual(failed.map(() => 'AbortedError'));
    const again = await client.uploads.uploadMany(
      failed.map(({ path }) => path),
      { concurrency: 3 },
    );
    expect(again.map(({ state }) => state)).toEqual(failed.map(() => 'completed'));
    const arrived = puts().filter((line) => line.endsWith(' 200'));
    expect(arrived.length).toBeGreaterThanOrEqual(100);
    // Those that were in flight when it was stopped may have arrived and been sent again.
    expect(arrived.length).toBeLessThanOrEqual(103);
  });
});
