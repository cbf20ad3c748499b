import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { GIB, MIB } from '../../contract/limits.ts';
import { FileObjectStore } from '../../platform/embedded/file-object-store.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import type { SignedPartUrl } from '../../platform/ports/object-store.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { createTestObjectStore } from '../support/object-stores.ts';

type World = Awaited<ReturnType<typeof createTestObjectStore>>;

let world: World;
beforeEach(async () => {
  world = await createTestObjectStore();
});
afterEach(async () => {
  await world.close();
  expect(world.errors).toEqual([]);
});

const body = randomBytes(3 * MIB);

/** Paths of the files that hold bytes. */
const filesIn = (folder: string) =>
  readdirSync(join(folder, 'objects'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

async function begin(partNumber = 1, key = 'k') {
  const { multipartId } = await world.store.createMultipart({ key, contentType: 'text/html', checksums: true });
  const part = { partNumber, sizeBytes: body.length, checksumCrc64Nvme: await crc64Nvme(body) };
  const [signed] = await world.store.signParts({ key, multipartId, expiresInSeconds: 60, parts: [part] });
  return { upload: { key, multipartId }, ...(signed as SignedPartUrl) };
}

/** Begins a PUT of which not all bytes are sent yet. */
function beginPut(url: string, headers: OutgoingHttpHeaders, bytes: Uint8Array) {
  const sending = request(url, { method: 'PUT', headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => sending.on('response', resolve).on('error', reject));
  answer.catch(() => {}); // Some tests end the connection themselves.
  sending.write(bytes);
  return { sending, answer };
}

async function sign(key: string, content: string | Uint8Array, contentType = 'text/html') {
  await world.store.put({ key, body: Buffer.from(content), contentType });
  return (await world.store.signGet({ key, fileName: 'f.html', expiresInSeconds: 60 })).url;
}

it('takes over a folder from before its parts had a time', async () => {
  const { upload, url, headers } = await begin();
  const put = () => fetch(url, { method: 'PUT', headers, body: body as BodyInit });
  await put();
  const { database, folder, baseUrl } = world;
  database.exec('ALTER TABLE object_parts DROP COLUMN modified_at');
  const signingKey = randomBytes(32);
  const store = new FileObjectStore({
    folder: join(folder, 'objects'),
    database,
    baseUrl,
    signingKey,
    clock: systemClock,
  });
  expect(await store.listParts(upload)).toMatchObject([{ partNumber: 1, lastModified: new Date(0) }]);
  expect((await put()).status).toBe(200);
  const [part] = (await store.listParts(upload)) ?? [];
  expect(Date.now() - Number(part?.lastModified)).toBeLessThan(60_000);
});

describe('part URLs of the embedded object store', () => {
  it('leave no file when an upload is aborted while a part arrives', async () => {
    const { upload, url, headers } = await begin();
    const { sending, answer } = beginPut(url, { ...headers, 'content-length': body.length }, body.subarray(0, -1));
    await expect.poll(() => filesIn(world.folder).length, { timeout: 5_000 }).toBe(1);
    await world.store.abortMultipart(upload);
    sending.end(body.subarray(-1));
    const response = await answer;
    expect(response.resume().statusCode).toBe(404);
    expect(filesIn(world.folder)).toEqual([]);
  });

  it('leave no file, and no part, when the connection ends before the body', async () => {
    const { upload, url, headers } = await begin();
    const { sending } = beginPut(url, { ...headers, 'content-length': body.length }, body.subarray(0, -1));
    await expect.poll(() => filesIn(world.folder).length, { timeout: 5_000 }).toBe(1);
    sending.destroy();
    await expect.poll(() => filesIn(world.folder), { timeout: 5_000 }).toEqual([]);
    expect(await world.store.listParts(upload)).toEqual([]);
  });

  it('leave no file of a body that was refused, or that another replaced', async () => {
    const { url, headers } = await begin();
    const put = async (bytes: Uint8Array) =>
      (await fetch(url, { method: 'PUT', body: bytes as BodyInit, headers })).status;
    expect(await put(randomBytes(body.length))).toBe(400);
    expect(filesIn(world.folder)).toEqual([]);
    expect([await put(body), await put(body)]).toEqual([200, 200]);
    expect(filesIn(world.folder)).toHaveLength(1);
  });

  it('refuse a body whose length was not told, or is not the signed one, before it is sent', async () => {
    const { url, headers } = await begin();
    const chunked = beginPut(url, { ...headers, 'transfer-encoding': 'chunked' }, body.subarray(0, 10));
    expect((await chunked.answer).statusCode).toBe(411);
    const other = beginPut(url, { ...headers, 'content-length': 50 * GIB }, body.subarray(0, 10));
    expect((await other.answer).statusCode).toBe(403);
    chunked.sending.destroy();
    other.sending.destroy();
    expect(filesIn(world.folder)).toEqual([]);
  });

  it('answer 500, and tell the caller why, when the disk fails', async () => {
    const { url, headers } = await begin();
    rmSync(join(world.folder, 'objects'), { recursive: true });
    writeFileSync(join(world.folder, 'objects'), 'not a folder');
    const response = await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    expect([response.status, await response.text()]).toEqual([
      500,
      expect.stringContaining('<Code>InternalError</Code>'),
    ]);
    await expect.poll(() => world.errors.splice(0)).toEqual([expect.objectContaining({ code: 'ENOTDIR' })]);
  });

  it('answer 503 when the database stays busy', async () => {
    const { url, headers } = await begin();
    const other = openDatabase(join(world.folder, 'objects.db'));
    other.exec('BEGIN IMMEDIATE');
    world.database.exec('PRAGMA busy_timeout = 50');
    const response = await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    other.close();
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('<Code>SlowDown</Code>')]);
    expect(filesIn(world.folder)).toEqual([]);
  });

  it('ignore an Authorization header', async () => {
    const { url, headers } = await begin();
    const authorized = { ...headers, authorization: 'Bearer mr_something' };
    const response = await fetch(url, { method: 'PUT', body: body as BodyInit, headers: authorized });
    expect(response.status).toBe(200);
  });

  it('hold back a sender that is faster than the disk', async () => {
    const sizeBytes = 64 * MIB;
    const chunk = randomBytes(MIB);
    const { multipartId } = await world.store.createMultipart({ key: 'big', contentType: 'x/y', checksums: false });
    const upload = { key: 'big', multipartId };
    let [taken, ahead] = [0, 0];
    const onDisk = () => filesIn(world.folder).reduce((bytes, file) => bytes + statSync(file).size, 0);
    function* chunks() {
      for (; taken < sizeBytes; taken += chunk.length) {
        ahead = Math.max(ahead, taken - onDisk());
        yield chunk;
      }
    }
    const received = await world.store.receivePart({ ...upload, partNumber: 1, sizeBytes }, chunks());
    expect(received.outcome).toBe('stored');
    expect(ahead).toBeLessThan(8 * MIB);
  });

  it('tell browsers of any origin that they may be used', async () => {
    const { url, headers } = await begin();
    const preflight = await fetch(url, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://example.org',
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'x-amz-checksum-crc64nvme',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PUT');
    expect(preflight.headers.get('access-control-allow-headers')).toBe('*');
    const stored = await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    const refused = await fetch(url, { method: 'PUT', body: 'x', headers });
    expect([stored.status, refused.status]).toEqual([200, 403]);
    for (const response of [preflight, stored, refused]) {
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      expect(response.headers.get('access-control-expose-headers')).toContain('ETag');
    }
  });

  it('allow no other method', async () => {
    const { url } = await begin();
    for (const method of ['POST', 'DELETE', 'PATCH']) expect((await fetch(url, { method })).status).toBe(405);
  });
});

describe('download URLs of the embedded object store', () => {
  it('never let a browser run what it downloads', async () => {
    const { headers } = await fetch(await sign('page', '<script>alert(1)</script>'));
    expect(headers.get('content-type')).toBe('text/html');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; sandbox");
    expect(headers.get('content-disposition')).toMatch(/^attachment;/);
  });

  it('answer HEAD like GET, without the bytes', async () => {
    const url = await sign('page', 'twelve bytes');
    const [get, head] = [await fetch(url), await fetch(url, { method: 'HEAD' })];
    expect(head.status).toBe(200);
    expect(await head.text()).toBe('');
    for (const name of ['content-length', 'etag', 'last-modified', 'accept-ranges', 'content-type'])
      expect(head.headers.get(name)).toBe(get.headers.get(name));
  });

  it('go on with a download only if it is of the same object', async () => {
    const url = await sign('page', 'the first version');
    const etag = (await fetch(url)).headers.get('etag') ?? '';
    const resume = () => fetch(url, { headers: { range: 'bytes=4-', 'if-range': etag } });
    expect(await (await resume()).text()).toBe('first version');
    await sign('page', 'the second version');
    const changed = await resume();
    expect([changed.status, await changed.text()]).toEqual([200, 'the second version']);
  });

  it('send the whole for what is not one range of bytes', async () => {
    const url = await sign('page', 'content');
    for (const range of ['lines=1-2', 'bytes=', 'bytes=-', 'bytes=5-2', 'bytes=0-1,3-4', 'bytes=a-b']) {
      const response = await fetch(url, { headers: { range } });
      expect([response.status, await response.text()], range).toEqual([200, 'content']);
    }
  });

  it('survive clients that leave in the middle', async () => {
    const url = await sign('big', randomBytes(20 * MIB));
    for (let i = 0; i < 3; i++) {
      const controller = new AbortController();
      const reader = (await fetch(url, { signal: controller.signal })).body?.getReader();
      await reader?.read();
      controller.abort();
    }
    expect((await (await fetch(url)).arrayBuffer()).byteLength).toBe(20 * MIB);
  });
});

describe('the files of the embedded object store', () => {
  it('are gone with what they held', async () => {
    const { upload, url, headers } = await begin(2);
    await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    for (const key of ['a', 'b', 'a']) await world.store.put({ key, body, contentType: 'x/y' });
    expect(filesIn(world.folder)).toHaveLength(3);
    await world.store.delete('a');
    await world.store.abortMultipart(upload);
    expect(filesIn(world.folder)).toHaveLength(1);
    expect(await world.store.reconcile()).toEqual({ deletedFiles: 0, lostParts: 0, damagedKeys: [] });
  });

  it('are brought in step with the records: lost parts are to be sent again, damaged objects are named', async () => {
    const { upload, url, headers } = await begin();
    await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    rmSync(filesIn(world.folder)[0] as string);
    await world.store.put({ key: 'damaged', body, contentType: 'x/y' });
    rmSync(filesIn(world.folder)[0] as string);
    await world.store.put({ key: 'whole', body, contentType: 'x/y' });
    const report = await world.store.reconcile();
    expect(report).toEqual({ deletedFiles: 0, lostParts: 1, damagedKeys: ['damaged'] });
    expect(await world.store.listParts(upload)).toEqual([]);
    const read = async (key: string) => new Response(await world.store.read(key)).arrayBuffer();
    await expect(read('damaged')).rejects.toThrow();
    expect((await read('whole')).byteLength).toBe(body.length);
  });

  it('never pass for whole when they were cut', async () => {
    await world.store.put({ key: 'cut', body, contentType: 'x/y' });
    truncateSync(filesIn(world.folder)[0] as string, 100);
    await expect(new Response(await world.store.read('cut')).arrayBuffer()).rejects.toThrow(/shorter/);
  });
});

describe('an embedded object store that is killed', () => {
  const folders: string[] = [];
  const victims: Victim[] = [];
  afterEach(() => {
    for (const { child } of victims.splice(0)) child.kill('SIGKILL');
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  it.each([1, 2, 3, 4])('has every part and object that it acknowledged, whole, and nothing else (%i)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-killed-'));
    folders.push(folder);
    const victim = startStore(folder);
    victims.push(victim);
    const sent = await sendPartsUntilKilled(victim);

    const survivor = await createTestObjectStore({ folder });
    try {
      const { store } = survivor;
      await store.reconcile();
      const upload = { key: 'uploads/one', multipartId: victim.multipartId() };
      const parts = (await store.listParts(upload)) ?? [];
      for (const { partNumber, acknowledged, versions } of sent) {
        const found = parts.find((part) => part.partNumber === partNumber)?.checksumCrc64Nvme;
        // Of the versions sent one after another, the last one acknowledged, or one whose answer was lost.
        expect([
          ...(acknowledged === 0 ? [undefined] : []),
          ...versions.slice(Math.max(0, acknowledged - 1)),
        ]).toContain(found);
      }
      const { items } = await store.list({ prefix: 'objects/' });
      const last = victim.lastPut();
      expect(items.map(({ key }) => key)).toContain(`objects/${last}`);
      for (const { key } of items) {
        const bytes = new Uint8Array(await new Response(await store.read(key)).arrayBuffer());
        expect(await crc64Nvme(bytes)).toBe((await store.head(key))?.checksumCrc64Nvme);
      }
      expect(filesIn(folder)).toHaveLength(parts.length + items.length);

      const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
      expect(await store.completeMultipart({ ...upload, parts, sizeBytes })).toBe('completed');
      const whole = new Uint8Array(await new Response(await store.read(upload.key)).arrayBuffer());
      expect(await crc64Nvme(whole)).toBe((await store.head(upload.key))?.checksumCrc64Nvme);
    } finally {
      await survivor.close();
    }
  });
});

interface Victim {
  readonly child: ChildProcess;
  sign(parts: readonly object[]): Promise<readonly SignedPartUrl[]>;
  multipartId(): string;
  lastPut(): number;
}

function startStore(folder: string): Victim {
  const script = join(import.meta.dirname, '../support/object-store-process.ts');
  const child = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = new EventEmitter();
  let [id, last] = ['', -1];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as { put?: number; signed?: SignedPartUrl[]; multipartId?: string };
    if (message.put !== undefined) last = message.put;
    else {
      id = message.multipartId ?? '';
      answers.emit('signed', message.signed);
    }
  });
  return {
    child,
    async sign(parts) {
      child.stdin.write(`${JSON.stringify(parts)}\n`);
      return (await once(answers, 'signed'))[0] as SignedPartUrl[];
    },
    multipartId: () => id,
    lastPut: () => last,
  };
}

/** Three senders, each sending versions of a part of its own, one after another, until the store is killed. */
async function sendPartsUntilKilled({ child, sign }: Victim) {
  const bodies = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const bytes = randomBytes(6 * MIB);
      return { bytes, checksum: await crc64Nvme(bytes) };
    }),
  );
  const parts = [1, 2, 3].flatMap((partNumber) =>
    bodies.map(({ bytes, checksum }) => ({ partNumber, sizeBytes: bytes.length, checksumCrc64Nvme: checksum })),
  );
  const signed = await sign(parts);
  // With all that it wrote to its standard output.
  const closed = once(child, 'close');
  const firstAcknowledged = Promise.withResolvers<void>();
  const sending = [1, 2, 3].map(async (partNumber) => {
    const versions: string[] = [];
    let acknowledged = 0;
    for (let i = 0; ; i++) {
      const { bytes, checksum } = bodies[i % bodies.length] as (typeof bodies)[number];
      const { url, headers } = signed[(partNumber - 1) * bodies.length + (i % bodies.length)] as SignedPartUrl;
      versions.push(checksum);
      const response = await fetch(url, { method: 'PUT', body: bytes as BodyInit, headers }).catch(() => undefined);
      if (!response) return { partNumber, versions, acknowledged };
      expect(response.status).toBe(200);
      acknowledged = versions.length;
      firstAcknowledged.resolve();
    }
  });
  await firstAcknowledged.promise;
  await sleep(Math.random() * 400); // Whatever it is at: that is the test.
  child.kill('SIGKILL');
  await closed;
  return Promise.all(sending);
}
