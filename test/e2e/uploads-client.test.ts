import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { blobSource } from '../../client/blob-source.ts';
import { memoryStateStore, PauseController, type UploadProgress } from '../../client/index.ts';
import { MillraceClient } from '../../client/millrace.ts';
import { httpTransport } from '../../client/node/http-transport.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { GIB, MIB } from '../../contract/limits.ts';
import { call, makeBytes, newTenant, runCli, target, tempFolder, writeBytes } from '../support/e2e-world.ts';

const PART = 5 * MIB;

it('U1 sends a folder by one command, each file with its own receipt, and tells which one failed', async () => {
  const { apiKey, client } = await newTenant();
  const folder = await tempFolder();
  const names = ['data/large.bin', 'data/a/same.bin', 'data/b/same.bin', 'data/c/small.bin'];
  const bytes = [makeBytes(21 * MIB, 61), makeBytes(70_000, 62), makeBytes(70_000, 62), makeBytes(1_000, 63)];
  for (const [index, name] of names.entries()) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeBytes(join(folder, name), bytes[index] ?? makeBytes(0));
  }
  await writeBytes(join(folder, 'data/empty.bin'), makeBytes(0));
  const run = await runCli(folder, { apiKey }, 'upload', 'data');
  expect(run.exit).toBe(1);
  const uploaded = new Map(run.events.filter(({ type }) => type === 'uploaded').map(({ path, file }) => [path, file]));
  expect([...uploaded.keys()].sort()).toEqual([...names].sort());
  for (const [index, name] of names.entries()) {
    const checksum = await crc64Nvme(bytes[index] ?? makeBytes(0));
    expect(uploaded.get(name).receipt.checksum_crc64nvme).toBe(checksum);
  }
  expect(run.events.filter(({ type }) => type === 'error')).toMatchObject([
    { path: 'data/empty.bin', code: 'EmptyFileError' },
  ]);
  expect(run.events.findLast(({ type }) => type === 'total')).toMatchObject({ file_count: 5 });
  expect((await client.files.list()).items).toHaveLength(4);
});

it('U3 pauses in the middle of parts, and ends with the right bytes once it goes on', async () => {
  const { client } = await newTenant();
  const bytes = makeBytes(12 * PART, 64);
  const pause = new PauseController();
  const errors: unknown[] = [];
  const phases: UploadProgress['phase'][] = [];
  let pauses = 0;
  const file = await client.uploads.upload(bytes, {
    name: 'paused.bin',
    partSizeBytes: PART,
    concurrency: 2,
    pause,
    onRetry: (error) => errors.push(error),
    onProgress: ({ phase, percent }) => {
      phases.push(phase);
      if (phase !== 'uploading' || pauses > percent / 25) return;
      pauses += 1;
      pause.pause();
      setTimeout(() => pause.resume(), 100);
    },
  });
  expect(pauses).toBeGreaterThan(0);
  const changes = phases.filter((phase, at) => phase !== phases[at - 1]);
  expect(changes.filter((phase) => phase === 'paused')).toHaveLength(pauses);
  expect(errors).toEqual([]);
  expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
});

it('U3 goes on with a session by its content only if the file is declared alike', async () => {
  const { client } = await newTenant();
  const bytes = makeBytes(4 * PART, 65);
  const declared = { name: 'typed.bin', contentType: 'application/x-one', partSizeBytes: PART, concurrency: 1 };
  const stop = new AbortController();
  let uploadId = '';
  const first = client.uploads.upload(bytes, {
    ...declared,
    signal: stop.signal,
    onSession: (upload) => {
      uploadId = upload.id;
    },
    onProgress: ({ bytesSent }) => bytesSent > PART && stop.abort(),
  });
  await expect(first).rejects.toMatchObject({ code: 'AbortedError' });
  const other = await client.uploads.upload(bytes, { ...declared, contentType: 'application/x-other' });
  expect(other).toMatchObject({ content_type: 'application/x-other' });
  expect(other.upload_id).not.toBe(uploadId);
  const same = await client.uploads.upload(bytes, { ...declared, uploadId });
  expect(same).toMatchObject({ content_type: 'application/x-one', upload_id: uploadId });
});

it('U4 sends again the one part that differs when the upload is to be completed, and completes', async () => {
  const { apiKey } = await newTenant();
  const bytes = makeBytes(6 * PART, 66);
  const transport = httpTransport();
  const puts: string[] = [];
  let uploadId = '';
  /** Somebody else, with the same rights, puts other bytes in the place of a part. */
  const overwrite = async () => {
    const other = makeBytes(PART, 67);
    const parts = [{ part_number: 3, checksum_crc64nvme: await crc64Nvme(other) }];
    const { body } = await call('POST', `/uploads/${uploadId}/parts`, { apiKey, body: { parts } });
    const [{ url, headers }] = body.parts;
    expect((await fetch(url, { method: 'PUT', headers, body: other })).status).toBe(200);
  };
  const client = new MillraceClient<Uint8Array<ArrayBuffer>>(
    { url: target.url, apiKey },
    {
      openSource: async (source) => blobSource(source),
      findFiles: async () => [],
      limits: { maxConcurrency: 4, maxBytesInFlight: GIB, largePartBytes: PART },
      state: memoryStateStore(),
      transport: {
        async putPart(part) {
          const answer = await transport.putPart(part);
          puts.push(part.headers['x-amz-checksum-crc64nvme'] ?? '');
          if (puts.length === 6) await overwrite();
          return answer;
        },
      },
    },
  );
  const file = await client.uploads.upload(bytes, {
    name: 'mended.bin',
    partSizeBytes: PART,
    onSession: ({ id }) => {
      uploadId = id;
    },
  });
  expect(file).toMatchObject({ upload_id: uploadId, receipt: { checksum_crc64nvme: await crc64Nvme(bytes) } });
  expect(puts.slice(6)).toEqual([await crc64Nvme(bytes.subarray(2 * PART, 3 * PART))]);
});
