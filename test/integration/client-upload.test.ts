import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileStateStore, Millrace, memoryStateStore, type UploadProgress } from '../../client/index.ts';
import { MIB } from '../../contract/limits.ts';
import { type ScriptedServer, startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const PART = 64 * 1024;

let folder: string;
let server: ScriptedServer;
const clientOf = ({ url }: ScriptedServer, state = memoryStateStore()) =>
  new Millrace({ url, apiKey: TEST_KEY, state });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'client-upload-'));
  server = await startScriptedServer({ partSizeBytes: PART });
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

async function makeFile(sizeBytes: number, name = 'rows.bin') {
  const path = join(folder, name);
  const bytes = randomBytes(sizeBytes);
  await writeFile(path, bytes);
  return { path, bytes };
}

async function overwrite(path: string, position: number, text: string) {
  const handle = await open(path, 'r+');
  await handle.write(text, position);
  await handle.close();
}

const puts = () => server.trace.filter((line) => line.startsWith('put '));
const partsSent = () =>
  puts()
    .filter((line) => line.endsWith(' 200'))
    .map((line) => Number(line.split(' ')[1]))
    .sort((a, b) => a - b);
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('uploading', () => {
  it('sends a file of one part with two API calls and one PUT', async () => {
    await server.close();
    server = await startScriptedServer();
    const { path, bytes } = await makeFile(100_000);
    const file = await clientOf(server).uploads.upload(path);
    expect(server.trace).toEqual(['init', 'put 1 200', 'complete']);
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(file).toMatchObject({ name: 'rows.bin', size_bytes: 100_000 });
  });

  it('signs windows of 16 parts, the first ones sooner, and sends each part once', async () => {
    const { path, bytes } = await makeFile(40 * PART - 7);
    const file = await clientOf(server).uploads.upload(path, { name: 'other.bin', contentType: 'text/csv' });
    expect(server.trace.filter((line) => !line.startsWith('put '))).toEqual([
      'init',
      'sign 1-4',
      'sign 5-16',
      'sign 17-32',
      'sign 33-40',
      'complete',
    ]);
    expect(partsSent()).toEqual(range(1, 40));
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(file).toMatchObject({ name: 'other.bin', content_type: 'text/csv' });
  });

  it('has the first parts signed by init where the client plans them', async () => {
    await server.close();
    server = await startScriptedServer();
    const partSizeBytes = 5 * MIB;
    const { path, bytes } = await makeFile(6 * partSizeBytes - 7);
    const file = await clientOf(server).uploads.upload(path, { partSizeBytes });
    expect(server.trace.filter((line) => !line.startsWith('put '))).toEqual(['init', 'sign 5-6', 'complete']);
    expect(partsSent()).toEqual(range(1, 6));
    expect(bytes.equals(server.bytesOf(file.id) as Uint8Array)).toBe(true);
  });

  it('uses connections again', async () => {
    const { path } = await makeFile(40 * PART);
    await clientOf(server).uploads.upload(path, { concurrency: 2 });
    expect(server.connections).toBeLessThanOrEqual(5);
  });

  it('uploads a Blob and bytes in memory as well', async () => {
    const bytes = randomBytes(5 * PART + 1);
    const client = clientOf(server);
    const a = await client.uploads.upload(new File([bytes], 'a.bin'));
    const b = await client.uploads.upload(new Uint8Array(bytes), { name: 'b.bin' });
    expect(server.bytesOf(a.id)).toEqual(bytes);
    expect(server.bytesOf(b.id)).toEqual(bytes);
    expect([a.name, b.name]).toEqual(['a.bin', 'b.bin']);
  });

  it('lets the whole be checked alone with integrity "whole"', async () => {
    const { path, bytes } = await makeFile(3 * PART);
    const file = await clientOf(server).uploads.upload(path, { integrity: 'whole' });
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect([...server.sessions.values()][0]?.init.integrity).toBe('whole');
  });

  it('waits for a completion that takes its time', async () => {
    server.completionPolls = 2;
    const { path, bytes } = await makeFile(3 * PART);
    const file = await clientOf(server).uploads.upload(path);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('U5 reports bytes and percent that never go down, finalizing as a phase of its own, and 100 % at the end', async () => {
    server.faults['put 2'] = ['cut', { status: 503 }];
    server.faults['put 5'] = ['lose answer'];
    const { path } = await makeFile(20 * PART);
    const seen: UploadProgress[] = [];
    await clientOf(server).uploads.upload(path, { onProgress: (progress) => seen.push(progress) });
    const phases = seen.map((progress) => progress.phase).filter((phase, index, all) => phase !== all[index - 1]);
    expect(phases).toEqual(['hashing', 'uploading', 'finalizing', 'done']);
    for (const [index, progress] of seen.entries()) {
      const before = seen[index - 1];
      expect(progress.bytesSent).toBeGreaterThanOrEqual(before?.bytesSent ?? 0);
      expect(progress.percent).toBeGreaterThanOrEqual(before?.percent ?? 0);
      expect(progress.bytesSent).toBeLessThanOrEqual(progress.bytesTotal);
    }
    expect(seen.at(-1)).toMatchObject({
      phase: 'done',
      percent: 100,
      bytesSent: 20 * PART,
      partsDone: 20,
      partCount: 20,
    });
  });
});

describe('faults', () => {
  it('U10 ends right through cut connections, a storm of 503s and a lost answer', async () => {
    server.faults['put 1'] = ['cut', { status: 503 }, { status: 500 }];
    server.faults['put 3'] = ['lose answer'];
    server.faults['sign 1-4'] = [{ status: 503, code: 'ServiceBusyError' }, 'cut'];
    server.faults['put 9'] = [
      { status: 400, code: 'RequestTimeout' },
      { status: 429, headers: { 'retry-after': '1' } },
    ];
    const { path, bytes } = await makeFile(12 * PART);
    const file = await clientOf(server).uploads.upload(path);
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(partsSent()).toEqual([1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it('U10 repeats a completion whose answer was lost, and gets the same file', async () => {
    server.faults.complete = ['lose answer', { status: 504, code: 'GatewayTimeoutError' }];
    const { path } = await makeFile(3 * PART);
    const file = await clientOf(server).uploads.upload(path);
    expect(server.trace.filter((line) => line === 'complete')).toHaveLength(3);
    expect(file.id).toBe([...server.sessions.values()][0]?.fileId);
  });

  it('repeats init under one idempotency key', async () => {
    server.faults.init = ['cut', { status: 503 }];
    const { path } = await makeFile(3 * PART);
    await clientOf(server).uploads.upload(path);
    expect(server.trace.filter((line) => line === 'init')).toHaveLength(3);
  });

  it('U4 sends again the one part of which a bit was flipped on the way', async () => {
    server.faults['put 4'] = ['flip bit'];
    const { path, bytes } = await makeFile(6 * PART);
    const file = await clientOf(server).uploads.upload(path);
    expect(puts().filter((line) => line.startsWith('put 4'))).toEqual(['put 4 400', 'put 4 200']);
    expect(puts()).toHaveLength(7);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('gives a part up that differs each time', async () => {
    server.faults['put 2'] = Array(10).fill('flip bit');
    const { path } = await makeFile(3 * PART);
    await expect(clientOf(server).uploads.upload(path)).rejects.toMatchObject({
      code: 'FileChangedError',
      details: { part_number: 2 },
    });
    expect(puts().filter((line) => line.startsWith('put 2'))).toHaveLength(4);
  });

  it('U9 has an expired URL signed again without the caller noticing', async () => {
    server.faults['put 2'] = [{ status: 403, code: 'AccessDenied' }];
    server.faults['put 3'] = [{ status: 400, code: 'ExpiredToken' }];
    const { path } = await makeFile(4 * PART);
    await clientOf(server).uploads.upload(path);
    expect(server.trace).toContain('sign 2');
    expect(server.trace).toContain('sign 3');
  });

  it('tells what the object store said when it refuses for good', async () => {
    server.faults['put 1'] = Array(20).fill({ status: 400, code: 'EntityTooLarge' });
    const { path } = await makeFile(2 * PART);
    await expect(clientOf(server).uploads.upload(path)).rejects.toMatchObject({
      code: 'StorageRefusedError',
      status: 400,
      details: { part_number: 1, storage_code: 'EntityTooLarge' },
    });
  });

  it('sends what the server turns out to lack at completion', async () => {
    const { path, bytes } = await makeFile(5 * PART);
    server.faults.complete = [() => void [...server.sessions.values()][0]?.parts.delete(3)];
    const file = await clientOf(server).uploads.upload(path);
    expect(partsSent()).toEqual([1, 2, 3, 3, 4, 5]);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('mends a part that somebody else put into the same session', async () => {
    const { path, bytes } = await makeFile(5 * PART);
    server.faults.complete = [
      () =>
        void [...server.sessions.values()][0]?.parts.set(3, { checksum: 'AAAAAAAAAAA=', bytes: Buffer.alloc(PART) }),
    ];
    const file = await clientOf(server).uploads.upload(path);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it.each(['PartChecksumMismatchError', 'ChecksumMismatchError'] as const)(
    'U4 sends the differing part alone after %s',
    async (code) => {
      const { path, bytes } = await makeFile(20 * PART);
      server.faults.complete = [
        () => {
          const [session] = server.sessions.values();
          session?.parts.set(7, { checksum: 'AAAAAAAAAAA=', bytes: Buffer.alloc(PART) });
          server.trace.length = 0;
          return { status: 409, code };
        },
      ];
      const file = await clientOf(server).uploads.upload(path);
      expect(partsSent()).toEqual([7]);
      expect(server.bytesOf(file.id)).toEqual(bytes);
    },
  );

  it('mends a completion that is taken back after it was accepted', async () => {
    const { path, bytes } = await makeFile(5 * PART);
    server.completionPolls = 1;
    server.faults['get upload'] = [
      () => {
        const [session] = server.sessions.values();
        if (!session) return undefined;
        session.state = 'open';
        session.parts.delete(2);
        server.completionPolls = 0;
        return undefined;
      },
    ];
    const file = await clientOf(server).uploads.upload(path);
    expect(partsSent()).toEqual([1, 2, 2, 3, 4, 5]);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('notices a stalled part and sends it again', async () => {
    server.faults['put 2'] = ['silence'];
    const { path, bytes } = await makeFile(3 * PART);
    const file = await clientOf(server).uploads.upload(path, { stallSeconds: 0.3 });
    // The one that nobody answered; on a machine that stands still for so long, others stall as well.
    expect(puts()).toEqual(expect.arrayContaining(['put 2', 'put 2 200']));
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('gives up after the time it was given, with the last failure', async () => {
    server.faults['put 1'] = Array(50).fill({ status: 503 });
    const { path } = await makeFile(PART);
    await expect(clientOf(server).uploads.upload(path, { retrySeconds: 0 })).rejects.toMatchObject({ status: 503 });
  });

  it.each([
    ['the API key is wrong', { apiKey: 'mr_wrong' }, 'UnauthenticatedError'],
    ['nothing listens', { url: 'http://127.0.0.1:9', retrySeconds: 0 }, 'NetworkError'],
  ])('fails clearly when %s', async (_, more, code) => {
    const { path } = await makeFile(10);
    const client = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore(), ...more });
    await expect(client.keys.create({ name: 'x' })).rejects.toMatchObject({ code });
    if (code !== 'NetworkError') await expect(client.uploads.upload(path)).rejects.toMatchObject({ code });
  });

  it('refuses a path that is no file', async () => {
    await expect(clientOf(server).uploads.upload(folder)).rejects.toMatchObject({ code: 'FileUnreadableError' });
    await expect(clientOf(server).uploads.upload(join(folder, 'none'))).rejects.toMatchObject({
      code: 'FileUnreadableError',
      message: expect.stringContaining('no such file or directory'),
    });
  });

  it('refuses to complete a file that was changed while it was sent', async () => {
    const { path } = await makeFile(5 * PART);
    server.faults['put 2'] = [
      async () => {
        await overwrite(path, 10, 'changed');
        await utimes(path, 1, 1);
        return undefined;
      },
    ];
    await expect(clientOf(server).uploads.upload(path)).rejects.toMatchObject({ code: 'FileChangedError' });
    expect(server.trace).not.toContain('complete');
  });
});

describe('stopping and resuming', () => {
  const stopAndCut = (stop: AbortController) => (): 'cut' => {
    stop.abort();
    return 'cut';
  };

  /** Uploads until `parts` parts have arrived, then stops. */
  async function uploadPartly(path: string, parts: number, client = clientOf(server), options = {}) {
    const stop = new AbortController();
    let uploadId = '';
    server.faults[`put ${parts + 1}`] = [stopAndCut(stop)];
    const outcome = client.uploads.upload(path, {
      concurrency: 1,
      signal: stop.signal,
      onSession: (upload) => {
        uploadId = upload.id;
      },
      ...options,
    });
    await expect(outcome).rejects.toMatchObject({ code: 'AbortedError' });
    server.trace.length = 0;
    return uploadId;
  }

  it('stops at once when the signal is aborted, also while it waits to try again', async () => {
    server.faults['put 1'] = Array(50).fill({ status: 503, headers: { 'retry-after': '60' } });
    const { path } = await makeFile(PART);
    const started = performance.now();
    const outcome = clientOf(server).uploads.upload(path, { signal: AbortSignal.timeout(200) });
    await expect(outcome).rejects.toMatchObject({ code: 'AbortedError' });
    expect(performance.now() - started).toBeLessThan(15_000);
  });

  it('stops when the signal of the whole client is aborted', async () => {
    const stop = new AbortController();
    server.faults['put 1'] = [
      () => {
        stop.abort();
        return 'silence';
      },
    ];
    const { path } = await makeFile(PART);
    const client = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore(), signal: stop.signal });
    await expect(client.uploads.upload(path)).rejects.toMatchObject({ code: 'AbortedError' });
    await expect(client.verify(path, 'file_x')).rejects.toMatchObject({ code: 'AbortedError' });
  });

  it('U3 goes on with the same call and sends no finished part twice', async () => {
    const { path, bytes } = await makeFile(20 * PART);
    const state = fileStateStore(join(folder, 'state'));
    const uploadId = await uploadPartly(path, 7, clientOf(server, state));
    expect(await readdir(join(folder, 'state'))).toHaveLength(1);
    const file = await clientOf(server, state).uploads.upload(path);
    expect(file.upload_id).toBe(uploadId);
    expect(partsSent()).toEqual(range(8, 20));
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(await readdir(join(folder, 'state'))).toEqual([]);
  });

  it('U3 goes on from another device by the content alone, and by the upload id', async () => {
    const { path, bytes } = await makeFile(20 * PART);
    const uploadId = await uploadPartly(path, 7);
    const copy = join(folder, 'elsewhere.bin');
    await writeFile(copy, bytes);
    const stopped = new AbortController();
    server.faults['put 12'] = [stopAndCut(stopped)];
    await expect(
      clientOf(server).uploads.upload(copy, { name: 'rows.bin', concurrency: 1, signal: stopped.signal }),
    ).rejects.toMatchObject({ code: 'AbortedError' });
    expect(partsSent().slice(0, 4)).toEqual([8, 9, 10, 11]);
    server.trace.length = 0;
    const file = await clientOf(server).uploads.resume(uploadId, copy);
    expect(partsSent()).toEqual(range(12, 20));
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(server.trace).not.toContain('init');
  });

  it('U3 notices an edit of the same size and sends the parts that differ', async () => {
    const sizeBytes = 2 * 1024 * 1024 + 10 * PART;
    const { path, bytes } = await makeFile(sizeBytes);
    const state = fileStateStore(join(folder, 'state'));
    const uploadId = await uploadPartly(path, 24, clientOf(server, state));
    // Between the first and the last MiB, which the fingerprint covers.
    const position = 19 * PART + 5;
    await overwrite(path, position, 'edited');
    bytes.write('edited', position);
    const file = await clientOf(server, state).uploads.upload(path);
    expect(file.upload_id).toBe(uploadId);
    expect(partsSent()).toEqual([20, ...range(25, 42)]);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it('U3 does not take an edited file for verified because a resume was stopped in between', async () => {
    const { path, bytes } = await makeFile(2 * 1024 * 1024 + 10 * PART);
    const state = fileStateStore(join(folder, 'state'));
    await uploadPartly(path, 24, clientOf(server, state));
    const position = 19 * PART + 5;
    await overwrite(path, position, 'edited');
    bytes.write('edited', position);
    const stopped = new AbortController();
    server.faults['put 20'] = [stopAndCut(stopped)];
    await expect(clientOf(server, state).uploads.upload(path, { signal: stopped.signal })).rejects.toMatchObject({
      code: 'AbortedError',
    });
    const file = await clientOf(server, state).uploads.upload(path);
    expect(server.bytesOf(file.id)).toEqual(bytes);
  });

  it.each(['parts', 'whole'] as const)(
    'U3 sends what another file that looks alike has put into the session in between, with integrity %s',
    async (integrity) => {
      const state = fileStateStore(join(folder, 'state'));
      const { path, bytes } = await makeFile(2 * MIB + 10 * PART, 'disk.img');
      const uploadId = await uploadPartly(path, 20, clientOf(server, state), { integrity });
      // The same first and last MiB, and so the same fingerprint.
      await mkdir(join(folder, 'b'));
      const other = join(folder, 'b', 'disk.img');
      await writeFile(other, bytes);
      await overwrite(other, 19 * PART + 5, 'another file');
      await uploadPartly(other, 24, clientOf(server, state), { integrity });
      const file = await clientOf(server, state).uploads.upload(path, { integrity });
      expect(server.bytesOf(file.id)).toEqual(bytes);
      if (integrity === 'whole') expect(server.sessions.get(uploadId)?.state).toBe('rejected');
      else expect([file.upload_id, ...partsSent()]).toEqual([uploadId, 20, ...range(25, 42)]);
    },
  );

  it('refuses to resume with a file of another size', async () => {
    const { path } = await makeFile(5 * PART);
    const uploadId = await uploadPartly(path, 2);
    const { path: other } = await makeFile(5 * PART + 1, 'other.bin');
    await expect(clientOf(server).uploads.resume(uploadId, other)).rejects.toMatchObject({ code: 'FileChangedError' });
  });

  it('opens a new session for the same bytes under another name', async () => {
    const { path } = await makeFile(5 * PART);
    const uploadId = await uploadPartly(path, 2);
    const file = await clientOf(server).uploads.upload(path, { name: 'other.bin' });
    expect(file.upload_id).not.toBe(uploadId);
    expect(file.name).toBe('other.bin');
  });

  it.each([
    ['the notes of this device', memoryStateStore()],
    ['the server', undefined],
  ])('opens a new session for the same bytes declared otherwise, though %s know one', async (_, state) => {
    const { path } = await makeFile(5 * PART);
    const uploadId = await uploadPartly(path, 2, clientOf(server, state), { contentType: 'text/csv' });
    const named = await clientOf(server, state).uploads.upload(path, { name: 'other.bin' });
    const typed = await clientOf(server, state).uploads.upload(path, { contentType: 'text/plain' });
    expect([named.upload_id, typed.upload_id]).not.toContain(uploadId);
    expect(typed.content_type).toBe('text/plain');
  });

  it('U3 goes on without knowing which type was declared', async () => {
    const { path } = await makeFile(5 * PART);
    const uploadId = await uploadPartly(path, 2, clientOf(server), { contentType: 'text/csv' });
    const file = await clientOf(server).uploads.upload(path);
    expect(file).toMatchObject({ upload_id: uploadId, content_type: 'text/csv' });
  });

  it('answers with the file of a session that was completed before this run knew', async () => {
    const { path } = await makeFile(5 * PART);
    const first = await clientOf(server).uploads.upload(path);
    const second = await clientOf(server).uploads.resume(first.upload_id, path);
    expect(second.id).toBe(first.id);
    const { path: other } = await makeFile(5 * PART, 'other.bin');
    await expect(clientOf(server).uploads.resume(first.upload_id, other)).rejects.toMatchObject({
      code: 'FileChangedError',
    });
  });

  it('U3 takes the file of a run that was killed after its completion, unless it was edited since', async () => {
    // Killed before it deleted its note.
    const state = { ...memoryStateStore(), delete: async () => {} };
    const { path, bytes } = await makeFile(2 * 1024 * 1024 + 10 * PART);
    const first = await clientOf(server, state).uploads.upload(path);
    server.trace.length = 0;
    expect((await clientOf(server, state).uploads.upload(path)).id).toBe(first.id);
    expect(server.trace).toEqual(['get upload', `GET /files/${first.id}`]);
    const position = 19 * PART + 5;
    await overwrite(path, position, 'edited');
    bytes.write('edited', position);
    const edited = await clientOf(server, state).uploads.upload(path);
    expect(edited.id).not.toBe(first.id);
    expect(server.bytesOf(edited.id)).toEqual(bytes);
  });

  it('opens a new session when the noted one is gone, and says so when it was named', async () => {
    const { path } = await makeFile(5 * PART);
    const state = memoryStateStore();
    const client = clientOf(server, state);
    const uploadId = await uploadPartly(path, 2, client);
    await client.uploads.abort(uploadId);
    await expect(client.uploads.resume(uploadId, path)).rejects.toMatchObject({ code: 'UploadNotOpenError' });
    const file = await client.uploads.upload(path);
    expect(file.upload_id).not.toBe(uploadId);
  });

  it('removes notes that are older than any session', async () => {
    const state = join(folder, 'state');
    const { path } = await makeFile(5 * PART);
    await uploadPartly(path, 2, clientOf(server, fileStateStore(state)));
    const [note = ''] = await readdir(state);
    const monthAgo = new Date(Date.now() - 31 * 86_400_000);
    for (const name of [`${'0'.repeat(32)}.json`, `${'0'.repeat(32)}.json.unfinished`, 'not-ours.json']) {
      await writeFile(join(state, name), '{}');
      await utimes(join(state, name), monthAgo, monthAgo);
    }
    const { path: other } = await makeFile(5 * PART, 'other.bin');
    await uploadPartly(other, 2, clientOf(server, fileStateStore(state)));
    await expect.poll(() => readdir(state)).toHaveLength(3);
    expect(await readdir(state)).toEqual(expect.arrayContaining([note, 'not-ours.json']));
  });

  it('takes damaged notes for missing ones', async () => {
    const { path, bytes } = await makeFile(5 * PART);
    const state = fileStateStore(join(folder, 'state'));
    await uploadPartly(path, 2, clientOf(server, state));
    const [note] = await readdir(join(folder, 'state'));
    await writeFile(join(folder, 'state', note ?? ''), '{"version": 1, "uploadId"');
    const file = await clientOf(server, state).uploads.upload(path);
    expect(server.bytesOf(file.id)).toEqual(bytes);
    expect(partsSent()).toEqual([3, 4, 5]);
  });
});

describe('verify', () => {
  it('compares a local file with the receipt without a download', async () => {
    const { path } = await makeFile(3 * PART);
    const client = clientOf(server);
    const file = await client.uploads.upload(path);
    expect(await client.verify(path, file.id)).toMatchObject({ matches: true, local: { sizeBytes: 3 * PART } });
    await overwrite(path, PART, 'x');
    expect(await client.verify(path, file.id)).toMatchObject({ matches: false });
    expect(server.trace).not.toContain('get bytes');
  });
});
