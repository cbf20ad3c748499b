import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Batch, Millrace } from '../../client/index.ts';
import { call, newTenant, runCli, SLOWER, tempFolder, until, writeBytes } from '../support/e2e-world.ts';

const TIMEOUT = 60_000 * SLOWER;
const rows = await readFile(new URL('../fixtures/inference/rows.csv', import.meta.url));

async function uploadRows(client: Millrace): Promise<string> {
  return (await client.uploads.upload(rows, { name: 'rows.csv', contentType: 'text/csv' })).id;
}

async function countedItems(client: Millrace, batch: Batch) {
  const { items } = await client.batches.items(batch.id, { limit: 500 });
  const count = (state: string) => items.filter((item) => item.state === state).length;
  return { completed: count('completed'), failed: count('failed'), cancelled: count('cancelled') };
}

describe('batches', () => {
  it('M4 M9 run their jobs at once, with exact progress from 0 to 100 %', {
    timeout: TIMEOUT,
    tags: ['seed'],
  }, async () => {
    const { client } = await newTenant();
    const file_id = await uploadRows(client);
    const percents: number[] = [];
    const { id } = await client.batches.create({
      name: 'scores',
      jobs: Array.from({ length: 3 }, () => ({ workflow: 'inference', input: { file_id } })),
    });
    const batch = await client.batches.wait(id, { onProgress: ({ percent }) => percents.push(percent) });
    expect(batch).toMatchObject({ name: 'scores', state: 'completed', total: 3, completed: 3, percent: 100 });
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
    expect(percents.at(-1)).toBe(100);
    for (const percent of percents) expect([0, 33, 66, 100]).toContain(percent);
    expect((await client.batches.list({ limit: 1 })).items).toEqual([batch]);
  });

  it('are made of a file that lists them, tell of each one that failed, and retry just those', {
    timeout: TIMEOUT,
  }, async () => {
    const tenant = await newTenant();
    const { client } = tenant;
    const good = await uploadRows(client);
    const bad = (await client.uploads.upload(Buffer.from('no,numbers\nat,all\n'), { name: 'bad.csv' })).id;
    const inputs = [{ file_id: good }, { file_id: bad }, { file_id: 'nonsense' }];
    const folder = await tempFolder();
    const lines = inputs.map((input) => JSON.stringify({ input })).join('\n');
    await writeBytes(join(folder, 'jobs.ndjson'), new TextEncoder().encode(lines));
    const flags = ['--workflow', 'inference', '--max-retries', '0', '--wait'];
    const created = await runCli(folder, tenant, 'batch', 'create', 'jobs.ndjson', ...flags);
    expect(created.exit).toBe(4);
    const { batch } = created.events.at(-1) as { batch: Batch };
    expect(batch).toMatchObject({ state: 'failed', total: 3, completed: 1, failed: 2 });
    const errors = await runCli(folder, tenant, 'batch', 'items', batch.id, '--state', 'failed');
    expect(errors.events).toMatchObject([
      { item: { index: 1, error: { code: 'InputDataError' } } },
      { item: { index: 2, error: { code: 'ValidationError' } } },
    ]);

    await client.batches.retry(batch.id);
    const again = await client.batches.wait(batch.id);
    expect(again).toMatchObject({ state: 'failed', completed: 1, failed: 2 });
    const [first, second] = (await client.batches.items(batch.id)).items;
    expect((await client.jobs.get(String(first?.job_id))).attempt).toBe(1);
    expect((await client.jobs.get(String(second?.job_id))).attempt).toBe(2);
  });

  it('cancel what has not ended; every item ends, and is counted once', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const file_id = await uploadRows(client);
    // Some may have ended by then, most can't.
    const jobs = Array.from({ length: 40 }, (_, at) =>
      at % 4 === 0
        ? { workflow: 'inference', input: { file_id } }
        : { workflow: 'drill', input: { items: 1, work_ms: 600_000 } },
    );
    const { id } = await client.batches.create({ jobs });
    await until('a job is made', async () => (await client.batches.items(id, { limit: 1 })).items[0]);
    await client.batches.cancel(id);
    const batch = await client.batches.wait(id);
    expect(batch.state).toBe('cancelled');
    expect(await countedItems(client, batch)).toEqual({
      completed: batch.completed,
      failed: batch.failed,
      cancelled: batch.cancelled,
    });
    expect(batch.cancelled).toBeGreaterThanOrEqual(30);
    expect(batch.completed + batch.failed + batch.cancelled).toBe(40);
  });

  it('refuse what no batch can be made of', async () => {
    const { apiKey } = await newTenant();
    const post = async (body: object) => {
      const answer = await call('POST', '/batches', { apiKey, body });
      return { status: answer.status, error: (answer.body as { error?: string }).error };
    };
    expect(await post({})).toEqual({ status: 400, error: 'ValidationError' });
    expect(await post({ jobs: [] })).toEqual({ status: 400, error: 'ValidationError' });
    expect(await post({ file_id: 'file_01J00000000000000000000000' })).toEqual({
      status: 404,
      error: 'FileNotFoundError',
    });
  });
});
