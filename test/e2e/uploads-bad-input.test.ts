import { describe, expect, it } from 'vitest';
import { blobSource } from '../../client/blob-source.ts';
import { memoryStateStore } from '../../client/index.ts';
import { MillraceClient } from '../../client/millrace.ts';
import { httpTransport } from '../../client/node/http-transport.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { GIB, MIB } from '../../contract/limits.ts';
import { type Answer, call, makeBytes, newTenant, SLOWER, target } from '../support/e2e-world.ts';

function expectError({ status, body, headers }: Answer, expected: [status: number, code: string]): void {
  expect([status, body?.error]).toEqual(expected);
  expect(body.message).toMatch(/\w+ \w+/);
  expect(body.request_id).toMatch(/^[\w-]{8,}$/);
  expect(body.details).toBeTypeOf('object');
  expect(headers.get('content-type')).toContain('application/json');
}

const UNKNOWN = 'upl_01JD3Z8J3V8K4N5Q6R7S8T9V0W';

async function openUpload(apiKey: string, sizeBytes = 20 * MIB, more = {}) {
  const body = { name: 'rows.bin', size_bytes: sizeBytes, ...more };
  return (await call('POST', '/uploads/init', { apiKey, body })).body;
}

async function putPart(part: { url: string; headers: Record<string, string> }, bytes: Uint8Array<ArrayBuffer>) {
  return fetch(part.url, { method: 'PUT', headers: part.headers, body: bytes });
}

describe('bad input', () => {
  it('U9 answers a part index that is none with InvalidPartIndexError', async () => {
    const { apiKey } = await newTenant();
    const { upload } = await openUpload(apiKey);
    expect(upload.part_count).toBe(3);
    for (const index of ['0', '10001', '4', '-1', '1.5', 'x', '%00', '1e3']) {
      expectError(await call('PUT', `/uploads/${upload.id}/part/${index}`, { apiKey }), [400, 'InvalidPartIndexError']);
    }
    const sign = (part_number: unknown) =>
      call('POST', `/uploads/${upload.id}/parts`, { apiKey, body: { parts: [{ part_number }] } });
    expectError(await sign(4), [400, 'InvalidPartIndexError']);
    for (const index of [0, 10_001, 1.5, '1', null]) expect((await sign(index)).status).toBe(400);
  });

  it('U9 M12 answers an unknown upload and another tenant’s alike', async () => {
    const [mine, theirs] = [await newTenant(), await newTenant()];
    const { upload } = await openUpload(theirs.apiKey);
    for (const id of [UNKNOWN, upload.id]) {
      const { apiKey } = mine;
      const answers = [
        await call('GET', `/uploads/${id}`, { apiKey }),
        await call('DELETE', `/uploads/${id}`, { apiKey }),
        await call('PUT', `/uploads/${id}/part/1`, { apiKey }),
        await call('POST', `/uploads/${id}/parts`, { apiKey, body: { parts: [{ part_number: 1 }] } }),
        await call('POST', `/uploads/${id}/complete`, { apiKey, body: {} }),
      ];
      for (const answer of answers) expectError(answer, [404, 'UploadNotFoundError']);
    }
    expect((await theirs.client.uploads.get(upload.id)).state).toBe('open');
    expect((await mine.client.uploads.list()).items).toEqual([]);
  });

  it('U9 refuses to complete when parts are missing, names them, and the session goes on', async () => {
    const { apiKey } = await newTenant();
    const bytes = makeBytes(20 * MIB, 7);
    const { upload, parts } = await openUpload(apiKey, bytes.length);
    const slice = (part: number) => bytes.subarray((part - 1) * 8 * MIB, part * 8 * MIB);
    expect((await putPart(parts[1], slice(2))).status).toBe(200);
    const refused = await call('POST', `/uploads/${upload.id}/complete`, { apiKey, body: {} });
    expectError(refused, [409, 'PartsMissingError']);
    expect(refused.body.details.missing).toEqual([
      { first: 1, last: 1 },
      { first: 3, last: 3 },
    ]);
    for (const part of [1, 3]) expect((await putPart(parts[part - 1], slice(part))).status).toBe(200);
    const wrong = await call('POST', `/uploads/${upload.id}/complete`, {
      apiKey,
      body: { checksum_crc64nvme: await crc64Nvme(new Uint8Array(1)) },
    });
    expectError(wrong, [409, 'ChecksumMismatchError']);
    expect((await call('GET', '/files', { apiKey })).body.items).toEqual([]);
  });

  it('U9 makes one file of 50 completions at once', { timeout: 120_000 * SLOWER }, async () => {
    const { apiKey, client } = await newTenant();
    const { upload, parts } = await openUpload(apiKey, MIB);
    expect((await putPart(parts[0], makeBytes(MIB))).status).toBe(200);
    const complete = () => call('POST', `/uploads/${upload.id}/complete`, { apiKey, body: {} });
    const answers: Answer[] = [];
    const inFlight = target.engine === 'embedded' ? 50 : 8;
    while (answers.length < 50) answers.push(...(await Promise.all(Array.from({ length: inFlight }, complete))));
    for (const { status } of answers) expect([200, 202]).toContain(status);
    const ids = new Set(answers.flatMap(({ body }) => (body.file ? [body.file.id] : [])));
    const twice = await complete();
    expect(twice.status).toBe(200);
    expect([...ids]).toEqual([twice.body.file.id]);
    expect((await client.files.list()).items).toHaveLength(1);
  });

  it('U9 signs again, unseen by the caller, when a URL has expired', async () => {
    const { apiKey } = await newTenant();
    const bytes = makeBytes(6 * MIB, 9);
    const body = { name: 'late.bin', size_bytes: bytes.length, expires_in_seconds: 1, parts: [{ part_number: 1 }] };
    const { parts, upload } = (await call('POST', '/uploads/init', { apiKey, body })).body;
    const wait = Date.parse(parts[0].expires_at) - Date.now() + 1_500;
    await new Promise((resolve) => setTimeout(resolve, wait));
    expect((await putPart(parts[0], bytes)).status).toBe(403);
    // As if it had waited so long between signing and sending: the client sends by the URL that has expired.
    const transport = httpTransport();
    const statuses: number[] = [];
    const client = new MillraceClient<Uint8Array<ArrayBuffer>>(
      { url: target.url, apiKey },
      {
        openSource: async (source) => blobSource(source),
        findFiles: async () => [],
        limits: { maxConcurrency: 4, maxBytesInFlight: GIB, largePartBytes: 8 * MIB },
        state: memoryStateStore(),
        transport: {
          async putPart(part) {
            const { url, headers } = statuses.length === 0 ? parts[0] : part;
            const answer = await transport.putPart({ ...part, url, headers });
            statuses.push(answer.status);
            return answer;
          },
        },
      },
    );
    const errors: unknown[] = [];
    const file = await client.uploads.resume(upload.id, bytes, { onRetry: (error) => errors.push(error) });
    expect([file.upload_id, statuses, errors]).toEqual([upload.id, [403, 200], []]);
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
  });

  it('U9 rejects content that is not what was declared, and makes no file of it', async () => {
    const { apiKey, client } = await newTenant();
    const { upload, parts } = await openUpload(apiKey, MIB, { name: 'cat.png', content_type: 'image/png' });
    expect((await putPart(parts[0], makeBytes(MIB))).status).toBe(200);
    const refused = await call('POST', `/uploads/${upload.id}/complete`, { apiKey, body: {} });
    expectError(refused, [409, 'ContentMismatchError']);
    expect((await client.uploads.get(upload.id)).state).toBe('rejected');
    expect((await client.files.list()).items).toEqual([]);
  });

  it('U9 answers wrong sizes and names with what is wrong', async () => {
    const { apiKey } = await newTenant();
    const init = (body: unknown) => call('POST', '/uploads/init', { apiKey, body });
    expectError(await init({ name: 'a', size_bytes: 0 }), [400, 'EmptyFileError']);
    expectError(await init({ name: 'a', size_bytes: 2 ** 53 - 1 }), [400, 'FileTooLargeError']);
    const names = ['', '../up', 'a/b', 'a\\b', 'nul\0', 'x'.repeat(2_048), '..', '\ud800'];
    for (const name of names) {
      const answer = await init({ name, size_bytes: 1 });
      expectError(answer, [400, 'ValidationError']);
      // What is no Unicode cannot even be read as JSON.
      expect(JSON.stringify(answer.body.details)).toContain(name.isWellFormed() ? 'name' : 'body');
    }
    for (const name of ['żółw 🐢.csv', 'a b"c;d.txt', '<script>.html']) {
      const answer = await init({ name, size_bytes: 1 });
      expect(answer.status).toBe(201);
      expect(answer.body.upload.name).toBe(name);
    }
  });

  it('U9 answers every malformed request with a code, a sentence and the request id', async () => {
    const { apiKey } = await newTenant();
    const cases: [Promise<Answer>, [number, string]][] = [
      [call('POST', '/uploads/init', { apiKey, body: '{"name":' }), [400, 'ValidationError']],
      [call('POST', '/uploads/init', { apiKey, body: '[]' }), [400, 'ValidationError']],
      [call('POST', '/uploads/init', { apiKey }), [400, 'ValidationError']],
      [call('POST', '/uploads/init', { apiKey, body: { name: 'a', size_bytes: '1' } }), [400, 'ValidationError']],
      [call('GET', '/uploads?limit=0', { apiKey }), [400, 'ValidationError']],
      [call('GET', '/uploads?cursor=x', { apiKey }), [400, 'InvalidCursorError']],
      [call('GET', '/jobs?state=odd', { apiKey }), [400, 'ValidationError']],
      [call('GET', '/uploads/upl_1', { apiKey }), [404, 'UploadNotFoundError']],
      [call('GET', '/jobs/job_1', { apiKey }), [404, 'JobNotFoundError']],
      [call('GET', '/files/..%2f..%2fetc', { apiKey }), [404, 'FileNotFoundError']],
      [call('GET', '/uploads'), [401, 'UnauthenticatedError']],
      [call('GET', '/uploads', { apiKey: 'mr_x' }), [401, 'UnauthenticatedError']],
      [call('GET', '/uploads', { headers: { authorization: 'Basic YTpi' } }), [401, 'UnauthenticatedError']],
      [
        call('GET', '/uploads', { apiKey: `${apiKey.slice(0, -1)}${apiKey.endsWith('A') ? 'B' : 'A'}` }),
        [401, 'UnauthenticatedError'],
      ],
      [call('POST', '/jobs', { apiKey, body: { workflow: 'nope' } }), [404, 'WorkflowNotFoundError']],
      [call('POST', '/jobs', { apiKey, body: { workflow: 'inference', input: {} } }), [400, 'ValidationError']],
      [
        call('POST', '/jobs', {
          apiKey,
          body: { workflow: 'inference', input: { file_id: `file_${UNKNOWN.slice(4)}` } },
        }),
        [404, 'FileNotFoundError'],
      ],
      [
        call('POST', '/uploads/init', {
          apiKey,
          body: { name: 'a', size_bytes: 1 },
          headers: { 'idempotency-key': 'a b' },
        }),
        [400, 'ValidationError'],
      ],
    ];
    for (const [answer, expected] of cases) expectError(await answer, expected);
  });
});
