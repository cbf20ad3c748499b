import { execFile } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Job, Millrace, memoryStateStore, paginate } from '../../client/index.ts';
import { MIB } from '../../contract/limits.ts';
import { lackOf } from '../support/capabilities.ts';
import { startEmbeddedServer } from '../support/e2e-server.ts';
import { IS_FULL_SIZE, makeBytes, newTenant, SLOWER, target, tempFolder } from '../support/e2e-world.ts';

/** In GB: 10 in a bench run and in `npm run test:long` on one machine. */
const BIG_GB = Number(/^(\d+)GB$/.exec(process.env.MILLRACE_BIG ?? '')?.[1] ?? (IS_FULL_SIZE ? 1 : 0.25));

it('U2 uploads a big file in bounded memory', { timeout: 900_000, tags: ['sized'] }, async ({ task }) => {
  const { apiKey, client } = await newTenant();
  const path = join(await tempFolder(), 'big.bin');
  await writeFile(path, makeBytes(MIB, 2));
  await truncate(path, BIG_GB * 1e9);
  const concurrency = 4;
  const child = resolve(import.meta.dirname, '../support/upload-process.ts');
  const args = [child, target.url, apiKey, path, String(concurrency)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { file, beforeBytes, peakBytes, seconds } = JSON.parse(stdout);
  const grownMib = (peakBytes - beforeBytes) / MIB;
  task.meta.figures = { gigabytes: BIG_GB, grown_mib: grownMib, megabytes_per_second: (BIG_GB * 1e3) / seconds };
  expect(file.size_bytes).toBe(BIG_GB * 1e9);
  expect(grownMib).toBeLessThanOrEqual((concurrency * file.receipt.part_size_bytes) / MIB + 64);
  await client.files.delete(file.id, { permanent: true });
});

it('U11 takes 100 uploads at once, 20 of each client', { timeout: 120_000 * SLOWER, tags: ['sized'] }, async () => {
  const { apiKey, client } = await newTenant();
  const [clients, each, sizeBytes] = IS_FULL_SIZE ? [5, 20, MIB] : [2, 4, MIB / 4];
  const uploads = Array.from({ length: clients }, (_, number) => {
    const one = new Millrace({ url: target.url, apiKey, state: memoryStateStore() });
    return Array.from({ length: each }, (_, at) =>
      one.uploads.upload(makeBytes(sizeBytes, number * 100 + at), { name: `${number}-${at}.bin` }),
    );
  });
  const files = await Promise.all(uploads.flat());
  const listed: string[] = [];
  for await (const file of paginate((cursor) => client.files.list({ cursor }))) listed.push(file.id);
  expect(listed.sort()).toEqual(files.map(({ id }) => id).sort());
});

const lack = lackOf('a limit of running jobs of its own', target.engine);

describe.skipIf(lack)(`with a limit of 5 running jobs${lack ? ` (${lack})` : ''}`, () => {
  it('U11 runs 200 jobs in order, never more than 5, and lets another tenant’s through', {
    timeout: 120_000,
  }, async () => {
    const root = target.workspace ? { root: target.workspace } : {};
    const server = await startEmbeddedServer({ ...root, args: ['--running-jobs', '5'] });
    onTestFinished(() => server.close());
    const { url } = server;
    const many = new Millrace({ url, apiKey: server.apiKey });
    const keys = new Millrace({ url, apiKey: server.rootSecret }).keys;
    const { secret } = await keys.create({ tenant_id: 'other' as never, name: 'other', role: 'editor' });
    const few = new Millrace({ url, apiKey: secret });
    const ids: string[] = [];
    for (let at = 0; at < 200; at += 1) ids.push((await many.jobs.create('drill', { items: 1, work_ms: 20 })).id);
    const others = await Promise.all(Array.from({ length: 10 }, () => few.jobs.create('drill', { items: 1 })));
    const theirs = await Promise.all(others.map(({ id }) => few.jobs.wait(id)));
    await many.jobs.wait(ids.at(-1) ?? '');
    const jobs = await Promise.all(ids.map((id) => many.jobs.wait(id)));
    expect(new Set([...jobs, ...theirs].map(({ state }) => state))).toEqual(new Set(['completed']));
    expect(mostAtOnce(jobs)).toBeLessThanOrEqual(5);
    const started = jobs.map(({ started_at }) => started_at ?? '');
    expect(started).toEqual([...started].sort());
    const last = (list: readonly Job[]) =>
      list
        .map(({ completed_at }) => completed_at ?? '')
        .sort()
        .at(-1) ?? '';
    expect(last(theirs) < last(jobs)).toBe(true);
  });
});

/** How many ran at the same time, by their own timestamps. */
function mostAtOnce(jobs: readonly Job[]): number {
  const steps = jobs.flatMap(({ started_at = '', completed_at = '' }) => [
    { at: started_at, step: 1 },
    { at: completed_at, step: -1 },
  ]);
  // At one moment, ends count before starts.
  steps.sort((a, b) => (a.at === b.at ? a.step - b.step : a.at < b.at ? -1 : 1));
  let [now, most] = [0, 0];
  for (const { step } of steps) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}
