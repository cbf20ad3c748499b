import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Millrace, memoryStateStore } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import { lackOf } from '../support/capabilities.ts';
import { startEmbeddedServer } from '../support/e2e-server.ts';
import { makeBytes, newTenant, SLOWER, target, until } from '../support/e2e-world.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';

const PART = 5 * MIB;
const lack = lackOf('object URLs that lead through a proxy', target.engine);

async function openProxy(): Promise<FaultProxy> {
  const proxy = await startFaultProxy();
  onTestFinished(() => proxy.close());
  return proxy;
}

/** A client whose calls, and whose parts, go through a proxy to a server of its own. */
async function openAll(): Promise<{ proxy: FaultProxy; client: Millrace }> {
  const proxy = await openProxy();
  const server = await startEmbeddedServer({ args: ['--public-url', proxy.url] });
  onTestFinished(() => server.close());
  proxy.target = await ownAddress(server.data);
  return { proxy, client: new Millrace({ url: proxy.url, apiKey: server.apiKey, state: memoryStateStore() }) };
}

/** The server tells its public URL; where it listens is in its log. */
async function ownAddress(data: string): Promise<string> {
  const log = await readFile(`${data}/server.log`, 'utf8');
  const line = log.split('\n').find((text) => text.includes('"message":"started"')) ?? '{}';
  return (JSON.parse(line) as { listening: string }).listening;
}

const partsPut = (proxy: FaultProxy) =>
  proxy.requests.flatMap((line) => /^PUT \/objects\/.*[?&]part=(\d+)/.exec(line)?.[1] ?? []);

describe.skipIf(lack)(`between client and object store${lack ? ` (${lack})` : ''}`, () => {
  it('U4 sends a part again whose bit was flipped on the way, and that part alone', async () => {
    const { proxy, client } = await openAll();
    const bytes = makeBytes(6 * PART, 41);
    proxy.rules.push({ method: 'PUT', url: /\/objects\//, times: 1, fault: { kind: 'flip-bit', atByte: 1_234_567 } });
    const file = await client.uploads.upload(bytes, { name: 'flipped.bin', partSizeBytes: PART });
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
    expect(partsPut(proxy)).toHaveLength(7);
    expect(new Set(partsPut(proxy)).size).toBe(6);
  });

  it('U10 ends right through cut connections, a storm of 503s and lost answers', { timeout: 120_000 }, async () => {
    const { proxy, client } = await openAll();
    const bytes = makeBytes(10 * PART, 42);
    const objects = { method: 'PUT', url: /\/objects\// };
    proxy.rules.push(
      { ...objects, times: 2, fault: { kind: 'cut', afterBytes: 3 * MIB } },
      { ...objects, times: 4, fault: { kind: 'answer', status: 503 } },
      { ...objects, times: 2, fault: { kind: 'lose-answer' } },
      { ...objects, times: 1, fault: { kind: 'delay', ms: 1_000 } },
      { method: 'POST', url: /\/uploads\/init/, times: 1, fault: { kind: 'lose-answer' } },
      { method: 'POST', url: /\/parts$/, times: 2, fault: { kind: 'answer', status: 503 } },
      { method: 'POST', url: /\/complete$/, times: 1, fault: { kind: 'lose-answer' } },
    );
    const file = await client.uploads.upload(bytes, { name: 'stormy.bin', partSizeBytes: PART });
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
    expect(proxy.rules.map(({ times }) => times)).toEqual(proxy.rules.map(() => 0));
    expect((await client.files.list()).items).toHaveLength(1);
    expect((await client.uploads.list({ state: 'open' })).items).toEqual([]);
  });

  it('U10 goes on when nothing answered for a while', { timeout: 120_000 }, async () => {
    const { proxy, client } = await openAll();
    const bytes = makeBytes(20 * PART, 43);
    let gone: Promise<void> | undefined;
    const uploading = client.uploads.upload(bytes, {
      name: 'patient.bin',
      partSizeBytes: PART,
      concurrency: 1,
      onProgress: ({ phase, percent }) => {
        if (phase === 'uploading' && percent >= 20) gone ??= proxy.goAway();
      },
    });
    await until('the connection is gone', async () => gone?.then(() => true));
    const away = Number(process.env.MILLRACE_AWAY_SECONDS ?? 3);
    await new Promise((resolve) => setTimeout(resolve, away * 1_000));
    await proxy.comeBack();
    const file = await uploading;
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
  });
});

it('U10 makes one session and one file of answers of the API that were lost', {
  timeout: 60_000 * SLOWER,
}, async () => {
  const { apiKey, client } = await newTenant();
  const proxy = await openProxy();
  proxy.target = target.url;
  proxy.rules.push(
    { method: 'POST', url: /\/uploads\/init/, times: 1, fault: { kind: 'lose-answer' } },
    { method: 'POST', url: /\/complete$/, times: 1, fault: { kind: 'lose-answer' } },
    { method: 'POST', url: /\/complete$/, times: 1, fault: { kind: 'answer', status: 503 } },
  );
  const bytes = makeBytes(2 * MIB, 44);
  const through = new Millrace({ url: proxy.url, apiKey, state: memoryStateStore() });
  const file = await through.uploads.upload(bytes, { name: 'answered.bin' });
  expect((await client.files.list()).items.map(({ id }) => id)).toEqual([file.id]);
  expect((await client.uploads.list()).items).toHaveLength(1);
});
