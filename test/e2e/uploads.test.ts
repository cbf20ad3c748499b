import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { downloadFile, Millrace, memoryStateStore, type UploadProgress } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { DEFAULT_QUOTAS, GIB, MIB, TIB } from '../../contract/limits.ts';
import {
  call,
  makeBytes,
  newTenant,
  openProxied,
  runCli,
  startCli,
  target,
  tempFolder,
  until,
  writeBytes,
} from '../support/e2e-world.ts';
import { type FaultProxy, PART_NUMBER } from '../support/fault-proxy.ts';

/** Has a part refused as by a busy store, until the rule is taken away. */
const refusedPart = (part: number): FaultProxy['rules'][number] => ({
  method: 'PUT',
  url: new RegExp(`${PART_NUMBER}=${part}(&|$)`),
  times: Number.POSITIVE_INFINITY,
  fault: { kind: 'answer', status: 503 },
});

describe('uploading', () => {
  it('U1 sends a file in parts straight to the object store and gives back the same bytes', async ({ task }) => {
    const { client } = await newTenant();
    const folder = await tempFolder();
    const bytes = makeBytes(43 * MIB + 12_345);
    const path = await writeBytes(join(folder, 'measurements.bin'), bytes);
    const started = performance.now();
    const file = await client.uploads.upload(path, { contentType: 'application/octet-stream' });
    task.meta.figures = { megabytes_per_second: bytes.length / 1e3 / (performance.now() - started) };
    expect(file).toMatchObject({ name: 'measurements.bin', size_bytes: bytes.length });
    expect(file.receipt).toMatchObject({
      size_bytes: bytes.length,
      checksum_crc64nvme: await crc64Nvme(bytes),
      parts: 6,
      part_size_bytes: 8 * MIB,
    });
    expect(await client.files.get(file.id)).toEqual(file);
    const copy = join(folder, 'copy.bin');
    await downloadFile(client, file.id, copy);
    expect((await stat(copy)).size).toBe(bytes.length);
    expect((await client.verify(copy, file.id)).matches).toBe(true);
    expect((await client.files.list()).items.map(({ id }) => id)).toEqual([file.id]);
  });

  it('U1 takes a plain client that knows no checksums: init, redirect, PUT, complete', async () => {
    const { apiKey } = await newTenant();
    const bytes = makeBytes(9 * MIB, 2);
    const init = await call('POST', '/uploads/init', { apiKey, body: { name: 'plain.bin', size_bytes: bytes.length } });
    expect(init.status).toBe(201);
    const { id, part_count: count, part_size_bytes: size } = init.body.upload;
    expect(init.body.parts).toHaveLength(2);
    for (let part = 1; part <= count; part += 1) {
      const redirect = await call('PUT', `/uploads/${id}/part/${part}`, { apiKey });
      expect(redirect.status).toBe(307);
      const body = bytes.subarray((part - 1) * size, part * size);
      // What the caller sends to the API comes along on a redirect: it must not matter.
      const headers = { authorization: `Bearer ${apiKey}` };
      const put = await fetch(redirect.headers.get('location') ?? '', {
        method: 'PUT',
        body,
        ...(target.engine === 'embedded' ? { headers } : {}),
      });
      expect([put.status, await put.text()]).toEqual([200, '']);
    }
    const checksum_crc64nvme = await crc64Nvme(bytes);
    const done = await call('POST', `/uploads/${id}/complete`, { apiKey, body: { checksum_crc64nvme } });
    expect(done.status).toBe(200);
    expect(done.body.file.receipt).toMatchObject({ checksum_crc64nvme, parts: 2 });
    const link = await call('GET', `/files/${done.body.file.id}/download`, { apiKey });
    const download = await fetch(link.body.url);
    expect(download.headers.get('content-disposition')).toContain('plain.bin');
    expect(Buffer.from(await download.arrayBuffer()).equals(Buffer.from(bytes))).toBe(true);
  });

  it('U3 goes on after the uploading process was killed, and sends no finished part again', async () => {
    const { proxy, client, ...access } = await openProxied();
    const folder = await tempFolder();
    const bytes = makeBytes(33 * MIB, 3);
    await writeBytes(join(folder, 'killed.bin'), bytes);
    const args = ['upload', 'killed.bin', '--part-size', '5MiB', '--concurrency', '1'];
    // However late it is seen that two parts have arrived, the process is at the third.
    proxy.rules.push(refusedPart(3));
    const killed = startCli(folder, access, ...args);
    const partsThere = async () => {
      const [upload] = (await client.uploads.list()).items;
      return upload && (await client.uploads.get(upload.id, { includeParts: true }));
    };
    await until('some parts have arrived', async () => {
      const upload = await partsThere();
      return upload && upload.progress.received_parts >= 2 ? true : undefined;
    });
    killed.child.kill('SIGKILL');
    await killed.done;
    const before = await settled(partsThere);
    expect(before?.state).toBe('open');
    expect(before?.progress.missing).toEqual([{ first: 3, last: 7 }]);

    proxy.rules.splice(0);
    const again = await runCli(folder, access, ...args);
    expect([again.exit, again.stderr]).toEqual([0, '']);
    const sessions = again.events.filter(({ type }) => type === 'session');
    expect(sessions.map(({ upload_id }) => upload_id)).toEqual([before?.id]);
    // What was there counts from the first moment on: only the rest is sent.
    const uploading = again.events.find(({ type, phase }) => type === 'progress' && phase === 'uploading');
    expect(uploading.bytes_sent).toBeGreaterThanOrEqual(before?.progress.received_bytes ?? Number.NaN);
    const { file } = again.events.find(({ type }) => type === 'uploaded');
    expect(file).toMatchObject({ upload_id: before?.id, size_bytes: bytes.length });
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
  });

  it('U3 goes on with a folder after the uploading process was killed, and sends no finished file again', async () => {
    const { proxy, client, ...access } = await openProxied();
    const folder = await tempFolder();
    const names = ['a/same.bin', 'b/same.bin', 'changed.bin', 'deleted.bin', 'kept.bin'];
    for (const [index, name] of names.entries()) {
      await mkdir(dirname(join(folder, 'data', name)), { recursive: true });
      await writeBytes(join(folder, 'data', name), makeBytes(70_000, name.endsWith('same.bin') ? 30 : 31 + index));
    }
    await writeBytes(join(folder, 'data', 'long.bin'), makeBytes(33 * MIB, 3));
    const args = ['upload', 'data', '--part-size', '5MiB', '--concurrency', '2'];
    // However late it is seen that all others have arrived, the process is at this one, which takes one of the two places.
    proxy.rules.push(refusedPart(2));
    const killed = startCli(folder, access, ...args);
    await until('the small files are there', async () => {
      const { items } = await client.files.list();
      return items.length === names.length ? true : undefined;
    });
    killed.child.kill('SIGKILL');
    await killed.done;
    const before = (await client.files.list()).items;
    expect(before).toHaveLength(names.length);
    await writeBytes(join(folder, 'data', 'changed.bin'), makeBytes(70_000, 40));
    const deleted = before.find(({ name }) => name === 'deleted.bin');
    await client.files.delete(deleted?.id ?? '');

    proxy.rules.splice(0);
    const again = await runCli(folder, access, ...args);
    expect([again.exit, again.stderr]).toEqual([0, '']);
    const uploaded = again.events.filter(({ type }) => type === 'uploaded');
    expect(uploaded.map(({ path }) => path).sort()).toEqual(
      [...names, 'long.bin'].map((name) => `data/${name}`).sort(),
    );
    const skipped = uploaded.filter((event) => event.skipped);
    expect(skipped.map(({ path }) => path).sort()).toEqual(['data/a/same.bin', 'data/b/same.bin', 'data/kept.bin']);
    expect(before).toEqual(expect.arrayContaining(skipped.map(({ file }) => file)));
    expect(new Set(uploaded.map(({ file }) => file.id)).size).toBe(names.length + 1);
    expect(again.events.at(-1)).toEqual({
      type: 'summary',
      file_count: 6,
      files_done: 6,
      files_skipped: 3,
      files_failed: 0,
    });
  });

  it('U3 resumes on another device that knows only the file and the upload id, and notices a changed part', async () => {
    const { apiKey, client } = await newTenant();
    const folder = await tempFolder();
    const bytes = makeBytes(30 * MIB, 4);
    const path = await writeBytes(join(folder, 'moved.bin'), bytes);
    const stop = new AbortController();
    let uploadId = '';
    const first = client.uploads.upload(path, {
      concurrency: 1,
      signal: stop.signal,
      onSession: (upload) => {
        uploadId = upload.id;
      },
      onProgress: ({ bytesSent }) => bytesSent > 18 * MIB && stop.abort(),
    });
    await expect(first).rejects.toMatchObject({ code: 'AbortedError' });
    const handle = await open(path, 'r+');
    await handle.write('changed', 5 * MIB);
    await handle.close();

    const elsewhere = new Millrace({ url: target.url, apiKey, state: memoryStateStore() });
    const file = await elsewhere.uploads.resume(uploadId, path);
    expect(file.upload_id).toBe(uploadId);
    expect((await elsewhere.verify(path, file.id)).matches).toBe(true);
  });

  it('U5 tells progress that only grows, ends at 100 % and has a phase for finalizing', async () => {
    const { client } = await newTenant();
    const bytes = makeBytes(33 * MIB, 5);
    const seen: UploadProgress[] = [];
    await client.uploads.upload(bytes, { name: 'seen.bin', onProgress: (progress) => seen.push({ ...progress }) });
    const grows = (values: number[]) => expect(values).toEqual([...values].sort((a, b) => a - b));
    grows(seen.map(({ percent }) => percent));
    grows(seen.map(({ bytesSent }) => bytesSent));
    const phases = seen.map(({ phase }) => phase).filter((phase, at, all) => phase !== all[at - 1]);
    expect(phases).toEqual(['hashing', 'uploading', 'finalizing', 'done']);
    expect(seen.at(-1)).toMatchObject({ percent: 100, bytesSent: bytes.length });
    expect(seen.filter(({ phase }) => phase === 'uploading').every(({ percent }) => percent <= 100)).toBe(true);
  });

  it('U12 leaves no part behind when a session is aborted, and takes none after', async () => {
    const { apiKey, client } = await newTenant();
    const init = await call('POST', '/uploads/init', { apiKey, body: { name: 'gone.bin', size_bytes: 10 * MIB } });
    const [part] = init.body.parts;
    const put = () => fetch(part.url, { method: 'PUT', headers: part.headers, body: new Uint8Array(part.size_bytes) });
    expect((await put()).status).toBe(200);
    const aborted = await client.uploads.abort(init.body.upload.id);
    expect(aborted.state).toBe('aborted');
    expect((await client.uploads.abort(init.body.upload.id)).state).toBe('aborted');
    expect((await put()).status).toBe(404);
    expect((await client.uploads.get(init.body.upload.id)).progress).toMatchObject({ received_bytes: 0 });
    const complete = await call('POST', `/uploads/${init.body.upload.id}/complete`, { apiKey, body: {} });
    expect([complete.status, complete.body.error]).toEqual([409, 'UploadNotOpenError']);
    expect((await client.files.list()).items).toEqual([]);
  });

  it('U9 refuses what exceeds a quota, says when to come again, and leaves nothing of it', async () => {
    const { apiKey, client } = await newTenant();
    const init = (size_bytes: number) =>
      call('POST', '/uploads/init', { apiKey, body: { name: 'huge.bin', size_bytes, part_size_bytes: 5 * GIB } });
    const first = await init(40 * TIB);
    expect(first.status).toBe(201);
    const refused = await init(11 * TIB);
    expect([refused.status, refused.body.error]).toEqual([403, 'QuotaExceededError']);
    expect(refused.body.details).toMatchObject({
      quota: 'bytes_per_day',
      field: 'size_bytes',
      limit: DEFAULT_QUOTAS.bytes_per_day,
      used: 40 * TIB,
      asked: 11 * TIB,
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await client.uploads.list()).items.map(({ id }) => id)).toEqual([first.body.upload.id]);
    expect(await client.files.usage()).toMatchObject({
      stored_bytes: { used: 40 * TIB, reserved: 40 * TIB, limit: DEFAULT_QUOTAS.stored_bytes },
      open_sessions: { used: 1 },
    });
    await client.uploads.abort(first.body.upload.id);
    const file = await client.uploads.upload(makeBytes(MIB), { name: 'small.bin' });
    expect(await client.files.usage()).toMatchObject({
      stored_bytes: { used: file.size_bytes, reserved: 0 },
      bytes_per_day: { used: 40 * TIB + MIB },
      open_sessions: { used: 0 },
    });
  });

  it('U12 lists sessions that no part has reached for a while, with what they keep', async () => {
    const { apiKey, client } = await newTenant();
    const init = await call('POST', '/uploads/init', { apiKey, body: { name: 'left.bin', size_bytes: 10 * MIB } });
    const { upload, parts } = init.body;
    const [part] = parts;
    await fetch(part.url, { method: 'PUT', headers: part.headers, body: new Uint8Array(part.size_bytes) });
    const list = () => client.uploads.list({ state: 'open', idle_seconds: 1 });
    const page = await until('the session is idle', async () => {
      const now = await list();
      return now.items.length > 0 ? now : undefined;
    });
    expect(page.items).toMatchObject([
      { id: upload.id, received_bytes: part.size_bytes, last_activity_at: expect.any(String) },
    ]);
    expect(page.orphaned).toMatchObject({ sessions: 1, bytes: part.size_bytes });
    const listed = await runCli(await tempFolder(), { apiKey }, 'ls', '--idle-seconds', '1');
    expect(listed.events).toMatchObject([
      { type: 'upload', upload: { id: upload.id } },
      { type: 'orphaned', orphaned: page.orphaned },
    ]);
    const wrong = await call('GET', '/uploads?idle_seconds=1', { apiKey });
    expect([wrong.status, wrong.body.details.problems]).toMatchObject([400, [{ field: 'idle_seconds' }]]);
    await client.uploads.abort(upload.id);
    expect((await list()).items).toEqual([]);
  });

  it('U12 deletes a file for its tenant at once, and brings it back if asked in time', async () => {
    const { apiKey, client } = await newTenant();
    const file = await client.uploads.upload(makeBytes(MIB), { name: 'short.bin' });
    await client.files.delete(file.id);
    const answers = await Promise.all([
      call('GET', `/files/${file.id}`, { apiKey }),
      call('GET', `/files/${file.id}/download`, { apiKey }),
      call('DELETE', `/files/${file.id}`, { apiKey }),
    ]);
    expect(answers.map(({ status, body }) => [status, body?.error])).toEqual([
      [404, 'FileNotFoundError'],
      [404, 'FileNotFoundError'],
      [204, undefined],
    ]);
    expect((await client.files.list()).items).toEqual([]);
    const [deleted] = (await client.files.list({ deleted: 'true' })).items;
    expect(deleted).toMatchObject({ ...file, restorable_until: expect.any(String) });
    expect(await client.files.restore(file.id)).toEqual(file);
    expect((await client.files.list()).items).toEqual([file]);
    await client.files.delete(file.id, { permanent: true });
    await expect(client.files.restore(file.id)).rejects.toMatchObject({ code: 'FileNotFoundError' });
    expect((await client.files.list({ deleted: 'true' })).items).toEqual([]);
    expect((await client.files.usage()).stored_bytes.used).toBe(0);
  });
});

/** Parts that were on their way when their sender died may still arrive: the state once it stays the same. */
async function settled<T>(read: () => Promise<T>): Promise<T> {
  let last = '';
  return until('the session no longer changes', async () => {
    const now = await read();
    const text = JSON.stringify(now);
    const same = text === last;
    last = text;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return same ? now : undefined;
  });
}
