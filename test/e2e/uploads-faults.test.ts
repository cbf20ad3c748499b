import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Millrace } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import {
  makeBytes,
  openProxied,
  type RunningCli,
  runCli,
  SLOWER,
  startCli,
  tempFolder,
  until,
  writeBytes,
} from '../support/e2e-world.ts';
import { type FaultProxy, PART_NUMBER } from '../support/fault-proxy.ts';
import { startFlakyName } from '../support/flaky-name.ts';
import { faultsSeed, randomFrom } from '../support/random.ts';

const PART = 5 * MIB;
const PART_URL = new RegExp(`${PART_NUMBER}=(\\d+)`);

/** As many as the scenarios say with MILLRACE_FULL=1, which takes minutes. */
const full = process.env.MILLRACE_FULL === '1';
/** How long the server is away. */
const awaySeconds = full ? 30 : 3;
const random = randomFrom(faultsSeed);

/** How often each part was sent. */
function countParts(requests: readonly string[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const line of requests) {
    const part = line.startsWith('PUT ') && PART_URL.exec(line)?.[1];
    if (part) counts.set(Number(part), (counts.get(Number(part)) ?? 0) + 1);
  }
  return counts;
}

const total = (counts: ReadonlyMap<number, number>) => [...counts.values()].reduce((sum, count) => sum + count, 0);

/** Waits for the end of a run, killed at a random moment of its first `killWithinMs`, if given; `ms`: since it called. */
async function runAndKill(proxy: FaultProxy, { child, done }: RunningCli, killWithinMs: number | undefined) {
  await until('it has begun', async () => proxy.requests.length > 0 || undefined);
  const begun = performance.now();
  if (killWithinMs !== undefined) {
    await sleep(random() * killWithinMs);
    child.kill('SIGKILL');
  }
  const { events } = await done;
  return { events, ms: performance.now() - begun };
}

describe('between client and object store', () => {
  it('U4 catches every bit that is flipped on the way, and sends the parts again that have one, and no others', {
    timeout: 600_000,
  }, async ({ task }) => {
    const parts = full ? 40 : 8;
    let flips = 0;
    for (let run = 0; run < (full ? 10 : 2); run += 1) {
      const { proxy, client } = await openProxied();
      const bytes = makeBytes(parts * PART, 41 + run);
      const unharmed = Array.from({ length: parts }, (_, index) => index + 1);
      while (unharmed.length > parts / 2) {
        const [part] = unharmed.splice(Math.floor(random() * unharmed.length), 1);
        const url = new RegExp(`${PART_NUMBER}=${part}(&|$)`);
        const fault = { kind: 'flip-bit', atByte: Math.floor(random() * PART), bit: Math.floor(random() * 8) } as const;
        proxy.rules.push({ method: 'PUT', url, times: 1, fault });
      }
      const file = await client.uploads.upload(bytes, { name: 'flipped.bin', partSizeBytes: PART });
      expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
      const [sent, harmed] = [countParts(proxy.requests), countParts(proxy.harmed)];
      expect(sent.size).toBe(parts);
      for (const [part, times] of sent) expect(times, `FAULTS_SEED=${faultsSeed}`).toBe(1 + (harmed.get(part) ?? 0));
      flips += total(harmed);
    }
    expect(flips).toBe(full ? 200 : 8);
    task.meta.figures = { flipped_bits_caught: flips };
  });

  it('U3 loses nothing when the client is killed at any moment, and sends at most the parts in flight again', {
    timeout: 900_000,
  }, async ({ task }) => {
    const concurrency = 4;
    const folder = await tempFolder();
    const bytes = makeBytes(24 * PART, 45);
    const checksum = await crc64Nvme(bytes);
    const path = await writeBytes(join(folder, 'killed.bin'), bytes);
    const args = ['upload', path, '--part-size', '5MiB', '--concurrency', String(concurrency)];
    let tookMs = 0;
    let most = 0;
    // The first run is not killed: it tells how long one takes.
    for (let kill = 0; kill <= (full ? 20 : 4); kill += 1) {
      const { proxy, client, ...access } = await openProxied();
      const home = await tempFolder();
      const { ms } = await runAndKill(proxy, startCli(home, access, ...args), kill === 0 ? undefined : tookMs);
      if (kill === 0) tookMs = ms;
      const before = await client.files.list();
      if (before.items.length === 0) expect((await runCli(home, access, ...args)).exit).toBe(0);
      const [file, ...others] = (await client.files.list()).items;
      expect(others).toEqual([]);
      expect(file?.receipt.checksum_crc64nvme).toBe(checksum);
      expect((await client.uploads.list()).items.map(({ state }) => state)).toEqual(['completed']);
      const sent = countParts(proxy.requests);
      const again = total(sent) - sent.size;
      expect(again, `FAULTS_SEED=${faultsSeed}, kill ${kill}`).toBeLessThanOrEqual(kill === 0 ? 0 : concurrency);
      most = Math.max(most, again);
    }
    task.meta.figures = { most_parts_sent_again: most };
  });

  it('U3 makes one file of each in a folder whenever the client is killed, and sends no finished one again', {
    timeout: 900_000,
  }, async ({ task }) => {
    const concurrency = 4;
    const folder = await tempFolder();
    const contents = Array.from({ length: 12 }, (_, index) => makeBytes(100_000, 500 + Math.max(2, index)));
    contents.push(makeBytes(8 * PART, 499));
    for (const [index, bytes] of contents.entries()) {
      await mkdir(join(folder, 'data', `${index}`), { recursive: true });
      await writeBytes(join(folder, 'data', `${index}`, 'rows.bin'), bytes);
    }
    const checksums = await Promise.all(contents.map(crc64Nvme));
    const args = ['upload', join(folder, 'data'), '--part-size', '5MiB', '--concurrency', String(concurrency)];
    let tookMs = 0;
    let mostSkipped = 0;
    // The first run is not killed: it tells how long one takes.
    for (let kill = 0; kill <= (full ? 20 : 2); kill += 1) {
      const { proxy, client, ...access } = await openProxied();
      const home = await tempFolder();
      const run = startCli(home, access, ...args);
      const { ms, events } = await runAndKill(proxy, run, kill === 0 ? undefined : tookMs);
      if (kill === 0) tookMs = ms;
      const finished = events.filter(({ type }) => type === 'uploaded').map(({ file }) => file.id);
      if ((await client.files.list()).items.length < contents.length) {
        const again = await runCli(home, access, ...args);
        expect([again.exit, again.stderr]).toEqual([0, '']);
        const skipped = again.events.filter((event) => event.type === 'uploaded' && event.skipped);
        expect(skipped.map(({ file }) => file.id)).toEqual(expect.arrayContaining(finished));
        expect(again.events.at(-1)).toMatchObject({ type: 'summary', files_skipped: skipped.length, files_failed: 0 });
        mostSkipped = Math.max(mostSkipped, skipped.length);
      }
      const { items } = await client.files.list({ limit: 100 });
      expect(items.map(({ receipt }) => receipt.checksum_crc64nvme).sort()).toEqual([...checksums].sort());
      // Killed before it knew the session that it had asked for, it may find that of an equal file instead.
      for (const { id } of (await client.uploads.list({ state: 'open' })).items) {
        expect((await client.uploads.get(id)).progress.received_parts).toBe(0);
      }
      const puts = proxy.requests.flatMap((line) => {
        const [, object] = /^PUT ([^?]+)/.exec(line) ?? [];
        return object ? `${object} ${PART_URL.exec(line)?.[1]}` : [];
      });
      const again = puts.length - new Set(puts).size;
      expect(again, `FAULTS_SEED=${faultsSeed}, kill ${kill}`).toBeLessThanOrEqual(kill === 0 ? 0 : concurrency);
    }
    task.meta.figures = { most_files_skipped: mostSkipped };
  });

  it('U10 ends right through cut connections, a storm of 503s and lost answers', { timeout: 120_000 }, async () => {
    const { proxy, client } = await openProxied();
    const bytes = makeBytes(10 * PART, 42);
    const objects = { method: 'PUT', url: PART_URL };
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

  /** Uploads a file, of which `goAway` takes the server's way in the middle for a while. */
  async function uploadThroughAbsence(
    { client }: { client: Millrace },
    goAway: () => Promise<void>,
    comeBack: () => Promise<void>,
  ): Promise<void> {
    const bytes = makeBytes(20 * PART, 43);
    let gone: Promise<void> | undefined;
    const uploading = client.uploads.upload(bytes, {
      name: 'patient.bin',
      partSizeBytes: PART,
      concurrency: 1,
      onProgress: ({ phase, percent }) => {
        if (phase === 'uploading' && percent >= 20) gone ??= goAway();
      },
    });
    await until('the connection is gone', async () => gone?.then(() => true));
    await Promise.race([uploading, sleep(awaySeconds * 1_000)]);
    await comeBack();
    const file = await uploading;
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
  }

  it('U10 goes on when nothing answered for a while', { timeout: 120_000 }, async () => {
    const proxied = await openProxied();
    await uploadThroughAbsence(proxied, proxied.proxy.goAway, proxied.proxy.comeBack);
  });

  it('U10 goes on when the server’s name did not resolve for a while', { timeout: 120_000 }, async ({ task }) => {
    const name = startFlakyName();
    onTestFinished(() => name.close());
    const proxied = await openProxied({ host: name.host });
    const goAway = async () => {
      name.resolves = false;
      // Connections that are there need no name.
      await proxied.proxy.goAway();
      await proxied.proxy.comeBack();
    };
    const comeBack = async () => {
      name.resolves = true;
    };
    await uploadThroughAbsence(proxied, goAway, comeBack);
    expect(name.failures.length).toBeGreaterThan(0);
    for (const code of name.failures) expect(['ENOTFOUND', 'EAI_AGAIN']).toContain(code);
    task.meta.figures = { lookups_failed: name.failures.length };
  });
});

it('U10 makes one session and one file of answers of the API that were lost', {
  timeout: 60_000 * SLOWER,
}, async () => {
  const { proxy, client } = await openProxied();
  proxy.rules.push(
    { method: 'POST', url: /\/uploads\/init/, times: 1, fault: { kind: 'lose-answer' } },
    { method: 'POST', url: /\/complete$/, times: 1, fault: { kind: 'lose-answer' } },
    { method: 'POST', url: /\/complete$/, times: 1, fault: { kind: 'answer', status: 503 } },
  );
  const file = await client.uploads.upload(makeBytes(2 * MIB, 44), { name: 'answered.bin' });
  expect((await client.files.list()).items.map(({ id }) => id)).toEqual([file.id]);
  expect((await client.uploads.list()).items).toHaveLength(1);
});
