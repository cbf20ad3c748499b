import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
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

beforeAll(async () => {
  const { MILLRACE_URL: url, MILLRACE_API_KEY: apiKey } = process.env;
  target = url && apiKey ? { url, apiKey, close: async () => {} } : await startEmbeddedServer();
  [browser, host] = await Promise.all([launchBrowser(), serveClientPage()]);
  page = await browser.newPage();
  await page.goto(host.url);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
  await target?.close();
});

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
  const verification = await new Millrace(target).verify(new Blob([bytes]), file.id);
  expect(verification.matches).toBe(true);
});

it('U3 a browser stops an upload and goes on with what is missing', async () => {
  const outcome = await page.evaluate(
    async ({ url, apiKey, size, source }) => {
      const bytes = new Function(`return (${source})(${size})`)() as Uint8Array<ArrayBuffer>;
      bytes[0] = 1;
      const file = new File([bytes], 'stopped.bin');
      const client = new millrace.Millrace({ url, apiKey });
      const stop = new AbortController();
      let uploadId = '';
      const code = await client.uploads
        .upload(file, {
          concurrency: 1,
          signal: stop.signal,
          onSession: (upload) => {
            uploadId = upload.id;
          },
          onProgress: ({ bytesSent }) => bytesSent > size / 2 && stop.abort(),
        })
        .then(
          () => 'completed',
          (error: browserClient.MillraceError) => error.code,
        );
      const { progress } = await client.uploads.get(uploadId);
      const resumed = await client.uploads.resume(uploadId, file);
      return { code, arrived: progress.received_parts, resumed, uploadId };
    },
    { url: target.url, apiKey: target.apiKey, size: SIZE, source: makeBytes.toString() },
  );
  expect(outcome.code).toBe('AbortedError');
  expect(outcome.arrived).toBeGreaterThan(0);
  expect(outcome.arrived).toBeLessThan(4);
  expect(outcome.resumed.upload_id).toBe(outcome.uploadId);
});
