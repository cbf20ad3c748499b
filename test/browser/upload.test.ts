import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page, Request } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as browserClient from '../../client/browser.ts';
import { Millrace } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import { launchBrowser, serveClientPage } from '../support/browser.ts';
import { startEmbeddedServer } from '../support/e2e-server.ts';

declare const millrace: typeof browserClient;

const SIZE = 30 * MIB;

let target: { url: string; apiKey: string; close(): Promise<void> };
let browser: Browser;
let host: Awaited<ReturnType<typeof serveClientPage>>;
let page: Page;
let folder: string;

beforeAll(async () => {
  const { MILLRACE_URL: url, MILLRACE_API_KEY: apiKey } = process.env;
  target = url && apiKey ? { url, apiKey, close: async () => {} } : await startEmbeddedServer();
  [browser, host] = await Promise.all([launchBrowser(), serveClientPage()]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
  await target?.close();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-browser-'));
  page = await browser.newPage();
  await page.goto(host.url);
});

afterEach(async () => {
  await page.context().close();
  await rm(folder, { recursive: true });
});

async function makeFile(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

/** The part that a request sends. */
function partOf(request: Request): number | undefined {
  const query = new URL(request.url()).searchParams;
  const part = query.get('part') ?? query.get('partNumber');
  return request.method() === 'PUT' && part ? Number(part) : undefined;
}

/** Has what sends this part get nowhere, as long as the page is routed. */
async function holdPart(partNumber: number): Promise<{ readonly isHeld: boolean }> {
  const held = { isHeld: false };
  await page.route(
    ({ searchParams }) => (searchParams.get('part') ?? searchParams.get('partNumber')) === String(partNumber),
    (route) => {
      held.isHeld ||= partOf(route.request()) === partNumber;
    },
  );
  return held;
}

/** Bytes that page and test make alike: a xorshift of the position. */
function makeBytes(size: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(size / 4);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

it('U1 U5 a browser sends a File in parts, with monotonic progress, and gets its receipt', async () => {
  const { file, seen } = await page.evaluate(
    async ({ url, apiKey, size, source }) => {
      const bytes = new Function(`return (${source})(${size})`)() as Uint8Array<ArrayBuffer>;
      const seen: { phase: string; percent: number; bytesSent: number }[] = [];
      const client = new millrace.Millrace({ url, apiKey });
      const file = await client.uploads.upload(new File([bytes], 'from-browser.bin'), {
        concurrency: 3,
        onProgress: ({ phase, percent, bytesSent }) => seen.push({ phase, percent, bytesSent }),
      });
      return { file, seen };
    },
    { url: target.url, apiKey: target.apiKey, size: SIZE, source: makeBytes.toString() },
  );
  const bytes = makeBytes(SIZE);
  expect(file).toMatchObject({ name: 'from-browser.bin', size_bytes: SIZE });
  expect(file.receipt).toMatchObject({ checksum_crc64nvme: await crc64Nvme(bytes), parts: 4 });
  const phases = seen.map(({ phase }) => phase).filter((phase, index, all) => phase !== all[index - 1]);
  expect(phases).toEqual(['hashing', 'uploading', 'finalizing', 'done']);
  expect(seen.map(({ percent }) => percent)).toEqual(seen.map(({ percent }) => percent).sort((a, b) => a - b));
  expect(seen.at(-1)).toMatchObject({ percent: 100, bytesSent: SIZE });
  expect(page.workers()).toHaveLength(1);
  const verification = await new Millrace(target).verify(new Blob([bytes]), file.id);
  expect(verification.matches).toBe(true);
});

it('U3 a browser stops an upload and goes on with what is missing', async () => {
  await holdPart(3);
  const upload = await page.evaluateHandle(
    ({ url, apiKey, size, source }) => {
      const bytes = new Function(`return (${source})(${size})`)() as Uint8Array<ArrayBuffer>;
      bytes[0] = 1;
      const file = new File([bytes], 'stopped.bin');
      const client = new millrace.Millrace({ url, apiKey });
      const stop = new AbortController();
      let uploadId = '';
      const onSession = ({ id }: { id: string }) => {
        uploadId = id;
      };
      const code = client.uploads.upload(file, { concurrency: 1, signal: stop.signal, onSession }).then(
        () => 'completed',
        (error: browserClient.MillraceError) => error.code,
      );
      return { client, file, stop, code, session: () => uploadId };
    },
    { url: target.url, apiKey: target.apiKey, size: SIZE, source: makeBytes.toString() },
  );
  const session = () => upload.evaluate(({ session }) => session());
  await expect.poll(session, { timeout: 60_000 }).not.toBe('');
  const uploadId = await session();
  const arrived = async () => (await new Millrace(target).uploads.get(uploadId)).progress.received_parts;
  await expect.poll(arrived, { timeout: 60_000 }).toBe(2);
  const code = await upload.evaluate(({ stop, code }) => {
    stop.abort();
    return code;
  });
  expect(code).toBe('AbortedError');
  await page.unrouteAll();
  expect(await arrived()).toBe(2);
  const resumed = await upload.evaluate(
    ({ client, file }, uploadId) => client.uploads.resume(uploadId, file),
    uploadId,
  );
  expect(resumed.upload_id).toBe(uploadId);
});

it('U3 a page that is loaded anew goes on with the file that it is given again, and sends no finished part twice', async () => {
  const bytes = makeBytes(2 * SIZE);
  const path = await makeFile('reloaded.bin', bytes);
  const upload = async () => {
    await page.setInputFiles('#file', path);
    return page.evaluateHandle(
      ({ url, apiKey }) => {
        const [file] = document.querySelector<HTMLInputElement>('#file')?.files ?? [];
        const client = new millrace.Millrace({ url, apiKey });
        let uploadId = '';
        const onSession = ({ id }: { id: string }) => {
          uploadId = id;
        };
        return { done: client.uploads.upload(file as File, { onSession }), session: () => uploadId };
      },
      { url: target.url, apiKey: target.apiKey },
    );
  };
  await holdPart(3);
  const first = await upload();
  const client = new Millrace(target);
  const received = async () => {
    const uploadId = await first.evaluate(({ session }) => session());
    if (!uploadId) return undefined;
    return { uploadId, parts: (await client.uploads.get(uploadId, { includeParts: true })).parts ?? [] };
  };
  await expect.poll(async () => (await received())?.parts.length, { timeout: 60_000 }).toBe(7);
  const before = await received();
  // In this order, for what is held goes on when its route goes.
  await page.reload();
  await page.unrouteAll();

  const calls: string[] = [];
  const sent: number[] = [];
  page.on('request', (request) => {
    const part = partOf(request);
    if (part) sent.push(part);
    else if (request.method() === 'POST') calls.push(new URL(request.url()).pathname);
  });
  const again = await upload();
  const file = await again.evaluate(({ done }) => done);
  expect(file.upload_id).toBe(before?.uploadId);
  expect(sent).toEqual([3]);
  expect(calls.filter((call) => call.endsWith('/init'))).toEqual([]);
  expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
});

it.each([
  ['IndexedDB', 'sandboxed', 1],
  ['workers', 'no-workers', 0],
])('uploads without %s where the page may not use them', async (_, path, workers) => {
  await page.goto(host.url + path);
  const { file, same, other, refused } = await page.evaluate(
    async ({ url, apiKey, size, source }) => {
      const bytes = new Function(`return (${source})(${size})`)() as Uint8Array<ArrayBuffer>;
      const client = new millrace.Millrace({ url, apiKey });
      const stop = new AbortController();
      const local = new File([bytes], 'refused.bin');
      await client.uploads
        .upload(local, {
          concurrency: 1,
          signal: stop.signal,
          onProgress: ({ bytesSent }) => bytesSent > size / 2 && stop.abort(),
        })
        .catch(() => undefined);
      const file = await client.uploads.upload(local);
      const same = await client.verify(local, file.id);
      const other = await client.verify(new File([bytes.subarray(1)], 'other.bin'), file.id);
      const refused = await new Promise<boolean>((resolve) => {
        try {
          const request = indexedDB.open('probe');
          request.onsuccess = () => resolve(false);
          request.onerror = () => resolve(true);
        } catch {
          resolve(true);
        }
      });
      return { file, same, other, refused };
    },
    { url: target.url, apiKey: target.apiKey, size: SIZE, source: makeBytes.toString() },
  );
  expect(refused).toBe(path === 'sandboxed');
  expect(page.workers()).toHaveLength(workers);
  expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(makeBytes(SIZE)));
  expect([same.matches, other.matches]).toEqual([true, false]);
});

it('sends the files of a folder that was picked, and of one that was dropped, with their paths', async () => {
  const names = ['photos/a.bin', 'photos/deep/b.bin', 'photos/deep/c.bin'];
  for (const [index, name] of names.entries()) await makeFile(name, makeBytes(400 * (index + 1)));
  await page.setInputFiles('#folder', join(folder, 'photos'));
  const picked = await page.evaluate(
    async ({ url, apiKey }) => {
      const client = new millrace.Millrace({ url, apiKey });
      return client.uploads.uploadMany(document.querySelector<HTMLInputElement>('#folder')?.files ?? []);
    },
    { url: target.url, apiKey: target.apiKey },
  );
  await page.evaluate(
    ({ url, apiKey }) => {
      document.addEventListener('dragover', (event) => event.preventDefault());
      document.addEventListener('drop', (event) => {
        event.preventDefault();
        const items = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
        const client = new millrace.Millrace({ url, apiKey });
        Object.assign(window, { dropped: client.uploads.uploadMany(items) });
      });
    },
    { url: target.url, apiKey: target.apiKey },
  );
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(folder, 'photos')], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, x: 100, y: 200, data });
  }
  await page.waitForFunction(() => 'dropped' in window);
  const dropped = await page.evaluate(() => (window as unknown as { dropped: typeof picked }).dropped);
  for (const results of [picked, dropped]) {
    expect(results.map(({ path }) => path).sort()).toEqual(names);
    for (const result of results) {
      const size = 400 * (names.indexOf(result.path) + 1);
      expect(result).toMatchObject({
        state: 'completed',
        file: { size_bytes: size, receipt: { checksum_crc64nvme: await crc64Nvme(makeBytes(size)) } },
      });
    }
  }
});

it('U3 a page that is loaded anew skips the files of a folder that were finished, and forgets them in the end', async () => {
  const names = ['photos/a.bin', 'photos/deep/a.bin', 'photos/edited.bin', 'photos/long.bin'];
  for (const name of names) await makeFile(name, makeBytes(name.endsWith('long.bin') ? SIZE : 4_000));
  const upload = async () => {
    await page.setInputFiles('#folder', join(folder, 'photos'));
    return page.evaluateHandle(
      ({ url, apiKey }) => {
        const client = new millrace.Millrace({ url, apiKey });
        const files = document.querySelector<HTMLInputElement>('#folder')?.files ?? [];
        const finished: string[] = [];
        const onResult = ({ path }: { path: string }) => void finished.push(path);
        return { done: client.uploads.uploadMany(files, { onResult }), finished };
      },
      { url: target.url, apiKey: target.apiKey },
    );
  };
  /** How many notes there are, with one of long ago if that is to be put there. */
  const notes = (more: { savedMs: number }[]) =>
    page.evaluate(
      (more) =>
        new Promise<number>((resolve) => {
          const opening = indexedDB.open('millrace');
          opening.onsuccess = () => {
            const store = opening.result.transaction('uploads', 'readwrite').objectStore('uploads');
            for (const note of more) store.put(note, 'of long ago');
            const counting = store.count();
            counting.onsuccess = () => resolve(counting.result);
          };
        }),
      more,
    );
  const held = await holdPart(3);
  const first = await upload();
  // The long one is hashed before it has a session, which may be after the others are finished.
  await expect.poll(() => held.isHeld, { timeout: 60_000 }).toBe(true);
  await expect.poll(() => first.evaluate(({ finished }) => finished.length), { timeout: 60_000 }).toBe(3);
  await page.reload();
  await page.unrouteAll();
  expect(await notes([{ savedMs: 0 }])).toBe(5);
  const edited = makeBytes(4_000);
  edited[0] = 7;
  await makeFile('photos/edited.bin', edited);
  const again = await (await upload()).evaluate(({ done }) => done);
  const skipped = again.filter((result) => result.state === 'completed' && result.skipped);
  expect(skipped.map(({ path }) => path).sort()).toEqual(['photos/a.bin', 'photos/deep/a.bin']);
  expect(again.map(({ state }) => state)).toEqual(names.map(() => 'completed'));
  // What remains is of the file before it was edited.
  expect(await notes([])).toBe(1);
});

it('U10 pauses while the browser is offline, and goes on by itself', async () => {
  const seen: string[] = [];
  await page.exposeFunction('tell', (phase: string) => void seen.push(phase));
  // It must not end before the browser is offline.
  await holdPart(3);
  const uploading = page.evaluate(
    async ({ url, apiKey, size, source }) => {
      const { tell } = window as unknown as { tell: (phase: string) => void };
      const bytes = new Function(`return (${source})(${size})`)() as Uint8Array<ArrayBuffer>;
      const client = new millrace.Millrace({ url, apiKey });
      return client.uploads.upload(new File([bytes], 'offline.bin'), {
        concurrency: 1,
        // The server is on this machine: by default it is taken to be there without a network.
        pauseOffline: true,
        onProgress: ({ phase }) => tell(phase),
      });
    },
    { url: target.url, apiKey: target.apiKey, size: SIZE, source: makeBytes.toString() },
  );
  await expect.poll(() => seen.includes('uploading'), { timeout: 60_000 }).toBe(true);
  await page.context().setOffline(true);
  await expect.poll(() => seen.at(-1), { timeout: 60_000 }).toBe('paused');
  await page.unrouteAll();
  await page.context().setOffline(false);
  const file = await uploading;
  expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(makeBytes(SIZE)));
});
