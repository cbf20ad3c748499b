import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import type { BatchId, JobId } from '../../contract/common.ts';
import type { WorkflowEntry } from '../../contract/workflows.ts';
import type { JobsWorld } from '../support/jobs-world.ts';
import { fileId, openJobsWorld, otherTenant, tenant } from '../support/jobs-world.ts';

const line: WorkflowEntry = {
  name: 'line',
  description: 'Steps in a line',
  input: z.strictObject({ steps: z._default(z.int().check(z.maximum(5)), 1), marketplace: z.optional(z.string()) }),
  files: [],
  marketplaceField: 'marketplace',
  plan: ({ steps }) => Array.from({ length: Number(steps) }, (_, index) => ({ step: `step${index + 1}` })),
  tasks: {},
};

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld({ entries: { line }, runningLimit: 100 });
});
afterEach(() => {
  world.close();
});

const jobOf = (input: Record<string, unknown> = {}) => ({ workflow: 'line', max_retries: 0, input });
async function createBatch(jobs: object[], headers: Record<string, string> = {}) {
  return (await world.call('createBatch', { body: { jobs } as never, headers: headers as never })).body;
}
const batch = async (batch_id: BatchId) => (await world.call('getBatch', { params: { batch_id } })).body;
const items = async (batch_id: BatchId, query: object = {}) =>
  (await world.call('listBatchItems', { params: { batch_id }, query: { limit: 500, ...query } })).body.items;
const jobIds = async (batchId: BatchId) => (await items(batchId)).map(({ job_id }) => job_id as JobId);

async function finish(jobId: JobId, state: 'succeeded' | 'failed' = 'succeeded') {
  if (state === 'succeeded') await world.run(jobId, 'step1');
  else await world.run(jobId, 'step1', () => Promise.reject(new Error('never heals'))).catch(() => undefined);
  await world.end(jobId, state);
  await world.drain();
}

describe('a batch', () => {
  it('M4 M9 goes from 0 over 33 and 66 to 100 % with its jobs, and its state follows them', async () => {
    const { id, state } = await createBatch([jobOf(), jobOf(), jobOf()]);
    expect(state).toBe('creating');
    await world.drain();
    const seen = [await batch(id)];
    for (const jobId of await jobIds(id)) {
      await finish(jobId);
      seen.push(await batch(id));
    }
    expect(seen.map(({ percent }) => percent)).toEqual([0, 33, 66, 100]);
    expect(seen.map(({ state }) => state)).toEqual(['running', 'running', 'running', 'completed']);
    expect(seen.at(-1)).toMatchObject({ total: 3, completed: 3, failed: 0, cancelled: 0 });
    expect((await world.call('getJob', { params: { job_id: (await jobIds(id))[0] as JobId } })).body.batch_id).toBe(id);
  });

  it('M9 counts jobs that end at the same time exactly', async () => {
    const { id } = await createBatch(Array.from({ length: 20 }, () => jobOf()));
    await world.drain();
    const ids = await jobIds(id);
    await Promise.all(ids.map((jobId, index) => finish(jobId, index % 4 === 0 ? 'failed' : 'succeeded')));
    expect(await batch(id)).toMatchObject({ state: 'failed', percent: 100, completed: 15, failed: 5, cancelled: 0 });
    world.checkAtRest();
  });

  it('retries the failed jobs alone', async () => {
    const { id } = await createBatch([jobOf(), jobOf(), jobOf()]);
    await world.drain();
    const [first, second, third] = (await jobIds(id)) as [JobId, JobId, JobId];
    await finish(first);
    await finish(second, 'failed');
    await finish(third);
    await world.call('retryBatch', { params: { batch_id: id } });
    await world.drain();
    expect(await batch(id)).toMatchObject({ state: 'running', completed: 2, failed: 0, percent: 66 });
    await finish(second);
    expect(await batch(id)).toMatchObject({ state: 'completed', completed: 3 });
    expect((await world.job(first)).attempt).toBe(1);
    expect((await world.job(second)).attempt).toBe(2);
    world.checkAtRest();
  });

  it('refuses items one by one, and tells why', async () => {
    const { id } = await createBatch([jobOf({ steps: 9 }), jobOf(), { ...jobOf(), workflow: 'unknown' }]);
    await world.drain();
    expect(await items(id, { state: 'failed' })).toMatchObject([
      { index: 0, state: 'failed', error: { code: 'ValidationError' } },
      { index: 2, state: 'failed', error: { code: 'WorkflowNotFoundError' } },
    ]);
    const [, jobId] = await jobIds(id);
    await finish(jobId as JobId);
    expect(await batch(id)).toMatchObject({ state: 'failed', percent: 100, completed: 1, failed: 2 });
    world.checkAtRest();
  });

  it('cancels what has not ended, and what is not made yet', async () => {
    const { id } = await createBatch(Array.from({ length: 35 }, () => jobOf()));
    // The first step of making them has begun no job yet.
    await world.consume(world.nextChanges(1));
    const [running] = await jobIds(id);
    expect(await jobIds(id)).toHaveLength(10);
    await world.call('cancelBatch', { params: { batch_id: id } });
    await world.drain();
    for (const jobId of (await jobIds(id)).filter(Boolean)) {
      const { state } = await world.job(jobId);
      expect(['cancelled', 'cancelling']).toContain(state);
      if (state === 'cancelling') await world.end(jobId, 'aborted');
    }
    await world.drain();
    await world.reconcile();
    expect(running).toBeDefined();
    expect(await batch(id)).toMatchObject({ state: 'cancelled', cancelled: 35, percent: 100 });
    expect(await items(id)).toHaveLength(35);
    world.checkAtRest();
  });

  it('answers a repeat under the same idempotency key with the same batch', async () => {
    const headers = { 'idempotency-key': 'again' };
    const first = await createBatch([jobOf()], headers);
    expect((await createBatch([jobOf()], headers)).id).toBe(first.id);
    await expect(createBatch([jobOf(), jobOf()], headers)).rejects.toMatchObject({ code: 'IdempotencyConflictError' });
    await world.drain();
  });

  it('is finished by reconcile when its change was lost, and made once when changes come again', async () => {
    const { id } = await createBatch(Array.from({ length: 25 }, () => jobOf()));
    const changes = world.nextChanges();
    await world.consume(changes);
    await world.consume(changes);
    world.clock.advance(61_000);
    await world.reconcile();
    await world.drain();
    expect(new Set(await jobIds(id)).size).toBe(25);
    expect((await batch(id)).state).toBe('running');
    expect(await world.objects.head(`tenant/${tenant}/batches/${id}.ndjson`)).toBeUndefined();
  });

  it('M12 is not there for another tenant', async () => {
    const { id } = await createBatch([jobOf()]);
    await world.drain();
    for (const operation of ['getBatch', 'listBatchItems', 'cancelBatch', 'retryBatch'] as const) {
      const call = world.call(operation, { params: { batch_id: id }, query: { limit: 1 } as never }, otherTenant);
      await expect(call).rejects.toMatchObject({ code: 'BatchNotFoundError' });
    }
    expect((await world.call('listBatches', { query: { limit: 5 } }, otherTenant)).body.items).toEqual([]);
  });

  it('is busy while it is made', async () => {
    const { id } = await createBatch([jobOf()]);
    await expect(world.call('retryBatch', { params: { batch_id: id } })).rejects.toMatchObject({
      code: 'BatchBusyError',
    });
    await world.drain();
  });
});

describe('a batch of a file', () => {
  it('makes a job of each line, with the defaults of the batch, and passes over blank ones', async () => {
    const lines = ['{"input": {"steps": 2}}', '', '{"workflow": "line"}\r', 'no json', '[1]'];
    await world.objects.put({ key: 'list', body: Buffer.from(lines.join('\n')), contentType: 'text/plain' });
    const file = { file_id: fileId, name: 'l', content_type: 'text/plain', object_key: 'list', checksum_crc64nvme: '' };
    world.deps.findFile = async () => ({ ...file, size_bytes: 99 });
    const body = { file_id: fileId, workflow: 'line', max_retries: 1 };
    const { id, total } = (await world.call('createBatch', { body })).body;
    await world.drain();
    expect(total).toBe(4);
    const [first, second, third, fourth] = await items(id);
    expect(await world.job(first?.job_id as JobId)).toMatchObject({ input: { steps: 2 }, max_retries: 1 });
    expect(await world.job(second?.job_id as JobId)).toMatchObject({ input: { steps: 1 }, max_retries: 1 });
    expect([third?.error?.code, fourth?.error?.code]).toEqual(['ValidationError', 'ValidationError']);
  });

  it.each([
    ['no such file', undefined, 'FileNotFoundError'],
    ['a file without lines', '\n \n', 'InputDataError'],
  ])('refuses %s', async (_, text, code) => {
    await world.objects.put({ key: 'list', body: Buffer.from(text ?? ''), contentType: 'text/plain' });
    const file = { file_id: fileId, name: 'l', content_type: 'text/plain', object_key: 'list', checksum_crc64nvme: '' };
    world.deps.findFile = async () => (text === undefined ? undefined : { ...file, size_bytes: text.length });
    await expect(world.call('createBatch', { body: { file_id: fileId } })).rejects.toMatchObject({ code });
  });
});

describe('statistics', () => {
  it('M3 count a marketplace’s jobs by state, exactly', async () => {
    const { id } = await createBatch([
      jobOf({ marketplace: 'ebay' }),
      jobOf({ marketplace: 'ebay' }),
      jobOf({ marketplace: 'etsy' }),
      jobOf(),
    ]);
    await world.drain();
    const [first, second, third] = (await jobIds(id)) as [JobId, JobId, JobId];
    await finish(first);
    await finish(second, 'failed');
    await world.call('cancelJob', { params: { job_id: third } });
    const none = { queued: 0, running: 0, cancelling: 0, completed: 0, failed: 0, cancelled: 0 };
    const stats = (await world.call('getStats', { query: {} })).body.items;
    expect(stats).toEqual([
      { marketplace: 'ebay', jobs: { ...none, completed: 1, failed: 1 } },
      { marketplace: 'etsy', jobs: { ...none, cancelling: 1 } },
    ]);
    expect((await world.call('getStats', { query: { marketplace: 'ebay' } })).body.items).toEqual(stats.slice(0, 1));
    await world.end(third, 'aborted');
    await world.drain();
    await world.reconcile();
  });
});
