import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  fileStateStore,
  Millrace,
  memoryStateStore,
  type UploadManyOptions,
  type UploadManyProgress,
  type UploadResult,
} from '../../client/index.ts';
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
    const smallEnded = Promise.withResolvers<void>();
    // The large one alone has so many parts: one of them stays on its way until all others have passed it.
    server.faults['put 3'] = [() => smallEnded.promise.then(() => undefined)];
    await client.uploads.uploadMany([large, ...small], {
      concurrency: 2,
      onResult: ({ path }) => {
        ended.push(path);
        if (ended.length === small.length) smallEnded.resolve();
      },
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

describe('a call that was stopped', () => {
  const names = ['a/same.bin', 'b/same.bin', 'c.bin', 'd.bin'];
  let bytes: Map<string, Buffer>;
  let photos: string;
  let notes: string;

  beforeEach(async () => {
    photos = join(folder, 'photos');
    notes = join(folder, 'notes');
    const same = randomBytes(2 * PART);
    bytes = new Map(names.map((name) => [name, name.endsWith('same.bin') ? same : randomBytes(2 * PART)]));
    for (const name of names) await makeFile(`photos/${name}`, bytes.get(name));
  });

  /** As a process of its own would: nothing is shared but the notes on disk. */
  const uploadPhotos = (options: UploadManyOptions = {}) =>
    new Millrace({ url: server.url, apiKey: TEST_KEY, state: fileStateStore(notes) }).uploads.uploadMany(
      [photos],
      options,
    );

  /** Ends with all files done but a long one, of which half has arrived; answers with the ids of those. */
  async function stopInTheMiddle(): Promise<Map<string, string>> {
    await makeFile('photos/long.bin', randomBytes(20 * PART));
    const stop = new AbortController();
    const done = new Map<string, string>();
    let inTheMiddle = false;
    const stopThen = () => done.size === names.length && inTheMiddle && stop.abort();
    server.faults['put 11'] = [
      () => {
        inTheMiddle = true;
        stopThen();
        return 'silence';
      },
    ];
    const results = await uploadPhotos({
      signal: stop.signal,
      concurrency: 3,
      onResult: (result) => {
        const file = fileOf(result);
        if (file) done.set(result.path, file.id);
        stopThen();
      },
    });
    expect(results.map(({ state }) => state)).toEqual([...names.map(() => 'completed'), 'failed']);
    server.trace.length = 0;
    return new Map([...done].sort());
  }

  const skippedOf = (results: readonly UploadResult[]) =>
    results.filter((result) => result.state === 'completed' && result.skipped).map(({ path }) => path);

  it('U3 is gone on with where it was: finished files are not sent again', async () => {
    const done = await stopInTheMiddle();
    const arrived = [...([...server.sessions.values()].find(({ state }) => state === 'open')?.parts.keys() ?? [])];
    const results = await uploadPhotos();
    expect(skippedOf(results)).toEqual([...done.keys()]);
    for (const [path, id] of done) {
      expect(fileOf(results.find((result) => result.path === path))?.id).toBe(id);
    }
    expect(results.map(({ state }) => state)).toEqual([...names, 'long'].map(() => 'completed'));
    expect(arrived).not.toEqual([]);
    const sent = puts().map((line) => Number(line.split(' ')[1]));
    expect(sent.filter((part) => arrived.includes(part))).toEqual([]);
    expect(server.trace).not.toContain('init');
  });

  it('is forgotten once it has ended well: the next call makes new files', async () => {
    const done = await stopInTheMiddle();
    await uploadPhotos();
    expect(await readdir(notes)).toEqual([]);
    const results = await uploadPhotos();
    expect(skippedOf(results)).toEqual([]);
    expect(results.map((result) => fileOf(result)?.id)).not.toEqual(expect.arrayContaining([...done.values()]));
    expect(server.sessions.size).toBe(2 * results.length);
  });

  it('sends a finished file that was changed since, and no other', async () => {
    await stopInTheMiddle();
    const edited = randomBytes(2 * PART);
    await makeFile('photos/c.bin', edited);
    const results = await uploadPhotos();
    const sent = names.filter((name) => !skippedOf(results).includes(join(photos, name)));
    expect(sent).toEqual(['c.bin']);
    const file = fileOf(results.find(({ path }) => path === join(photos, 'c.bin')));
    expect(server.bytesOf(file?.id ?? '')).toEqual(edited);
  });

  it('compares a finished file by its bytes when it may have changed', async () => {
    const done = await stopInTheMiddle();
    await utimes(join(photos, 'c.bin'), new Date(0), new Date(0));
    expect(skippedOf(await uploadPhotos())).toEqual([...done.keys()]);
  });

  it('sends a finished file that was deleted on the server since', async () => {
    const done = await stopInTheMiddle();
    const [path, id] = [...done][2] ?? [];
    server.answers[`GET /files/${id}`] = () => ({ status: 404, body: { error: 'FileNotFoundError', message: 'gone' } });
    const results = await uploadPhotos();
    expect(skippedOf(results)).toEqual([...done.keys()].filter((other) => other !== path));
    expect(fileOf(results.find((result) => result.path === path))?.id).not.toBe(id);
  });

  it('sends everything again if told not to resume', async () => {
    await stopInTheMiddle();
    expect(skippedOf(await uploadPhotos({ resume: false }))).toEqual([]);
  });

  it('takes no file of another call that is still running in the same client', async () => {
    // Neither ends before both have begun every file.
    const allBegun = () => vi.waitFor(() => expect(server.sessions.size).toBe(2 * names.length), 10_000);
    server.faults.complete = Array(2 * names.length).fill(() => allBegun().then(() => undefined));
    const results = await Promise.all([client.uploads.uploadMany([photos]), client.uploads.uploadMany([photos])]);
    expect(results.flatMap(skippedOf)).toEqual([]);
    expect(new Set(results.flat().map((result) => fileOf(result)?.id)).size).toBe(2 * names.length);
  });
});
