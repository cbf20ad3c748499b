import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import type { BatchId, JobId } from '../../contract/common.ts';
import { BatchEvent } from '../../contract/events/jobs.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import { batchKey } from '../../lambdas/jobs/records.ts';
import { addedEvent } from '../../lambdas/runtime/event-rows.ts';
import type { Write } from '../../platform/ports/table.ts';
import type { JobsWorld } from '../support/jobs-world.ts';
import { fileId, mortalTable, openJobsWorld, otherTenant, tenant } from '../support/jobs-world.ts';

const line: WorkflowEntry = {
  name: 'line',
  description: 'Steps in a line',
  input: z.strictObject({ steps: z._default(z.int().check(z.maximum(5)), 1), shop: z.optional(z.string()) }),
  files: [],
  labelField: 'shop',
  plan: ({ steps }) => Array.from({ length: Number(steps) }, (_, index) => ({ step: `step${index + 1}` })),
  tasks: {},
};

/** Takes any input. */
const free: WorkflowEntry = { ...line, name: 'free', input: z.looseObject({}), plan: () => [{ step: 'step1' }] };

let entries: Record<string, WorkflowEntry>;
let world: JobsWorld;
beforeEach(() => {
  entries = { line, free };
  world = openJobsWorld({ entries, runningLimit: 100 });
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
  else await world.run(jobId, 'step1', () => Promise.reject(new Error('never succeeds'))).catch(() => undefined);
  await world.end(jobId, state);
  await world.drain();
}

/** The events of a batch's log in order. */
async function eventsOf(batchId: BatchId) {
  const { pk } = batchKey(tenant, batchId);
  const { items } = await world.table.query({ pk, prefix: 'EVENT#', limit: 500 });
  return items.map((item) => BatchEvent.parse(addedEvent({ seq: '', key: item, after: item })?.event));
}

describe('a batch', () => {
  it('publishes how many percent have ended, and once that all have, again after a retry', async () => {
    const { id } = await createBatch([jobOf(), jobOf(), jobOf()]);
    await world.drain();
    const [first, second, third] = (await jobIds(id)) as [JobId, JobId, JobId];
    await finish(first);
    await finish(second, 'failed');
    await finish(third);
    const counts = { batch_id: id, total: 3 };
    expect(await eventsOf(id)).toMatchObject([
      { type: 'batch.progress', tenant_id: tenant, data: { ...counts, completed: 1, percent: 33 } },
      { type: 'batch.progress', data: { ...counts, completed: 1, failed: 1, percent: 66 } },
      { type: 'batch.completed', data: { ...counts, completed: 2, failed: 1, cancelled: 0, percent: 100 } },
    ]);
    await world.call('retryBatch', { params: { batch_id: id } });
    await world.drain();
    await finish(second);
    const events = await eventsOf(id);
    expect(events.slice(3)).toMatchObject([{ type: 'batch.completed', data: { completed: 3, failed: 0 } }]);
    expect(new Set(events.map((event) => event.id)).size).toBe(4);
  });

  it('publishes at most one event per percent, and those of changes that come again once', async () => {
    const { id } = await createBatch(Array.from({ length: 20 }, () => jobOf()));
    await world.drain();
    const ids = await jobIds(id);
    for (const jobId of ids) {
      await world.run(jobId, 'step1');
      await world.end(jobId);
    }
    const changes = world.nextChanges(1_000, 0);
    await Promise.all([world.consume(changes), world.consume(changes)]);
    await world.drain();
    const events = await eventsOf(id);
    expect(events.filter(({ type }) => type === 'batch.completed')).toHaveLength(1);
    const percents = events.map(({ data }) => data.percent);
    expect(percents).toEqual([...new Set(percents)]);
  });

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

  it('leaves a job failed that cannot be retried, with the reason', async () => {
    const { id } = await createBatch([jobOf(), { ...jobOf(), workflow: 'free' }]);
    await world.drain();
    const [gone, kept] = (await jobIds(id)) as [JobId, JobId];
    await finish(gone, 'failed');
    await finish(kept, 'failed');
    delete entries.line;
    await world.call('retryBatch', { params: { batch_id: id } });
    await world.drain();
    expect(await items(id)).toMatchObject([
      { state: 'failed', error: { code: 'WorkflowNotFoundError' } },
      { state: 'running' },
    ]);
    await finish(kept);
    expect(await batch(id)).toMatchObject({ state: 'failed', completed: 1, failed: 1 });
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

  it('has an idempotency key of its own, whatever a job was created under, and free again after a week', async () => {
    const headers = { 'idempotency-key': 'nightly' };
    const job = await world.call('createJob', { body: jobOf(), headers: headers as never });
    const first = await createBatch([jobOf()], headers);
    expect((await createBatch([jobOf()], headers)).id).toBe(first.id);
    expect((await world.call('createJob', { body: jobOf(), headers: headers as never })).body.id).toBe(job.body.id);
    world.clock.advance(8 * 24 * 3_600_000);
    expect((await createBatch([jobOf(), jobOf()], headers)).id).not.toBe(first.id);
    await world.drain();
  });

  it('gives up when others have its idempotency key each time it looks', async () => {
    world.close();
    const refuse = async () => ({ ok: false, failed: [] }) as const;
    world = openJobsWorld({
      entries,
      wrapTable: (table) => ({ ...mortalTable(table, () => false), transact: refuse }),
    });
    const headers = { 'idempotency-key': 'again' } as never;
    const busy = { code: 'ServiceBusyError' };
    await expect(createBatch([jobOf()], headers)).rejects.toMatchObject(busy);
    await expect(world.call('createJob', { body: jobOf(), headers })).rejects.toMatchObject(busy);
  });

  it('lists its items in a bounded time, and goes on at the cursor when none matched', async () => {
    const { id } = await createBatch([...Array.from({ length: 30 }, () => jobOf()), jobOf({ steps: 9 })]);
    await world.drain();
    const query = { limit: 1, state: 'failed' } as const;
    const { items: none, next_cursor: cursor } = (
      await world.call('listBatchItems', { params: { batch_id: id }, query })
    ).body;
    expect(none).toEqual([]);
    expect(await items(id, { ...query, cursor })).toMatchObject([{ index: 30 }]);
  });

  it('that cannot be swept fails neither the feed nor another batch, and reconcile goes on with it', async () => {
    const { id } = await createBatch([jobOf()]);
    const key = `tenant/${tenant}/batches/${id}.ndjson`;
    await world.objects.delete(key);
    const other = await createBatch([jobOf()]);
    await world.drain();
    expect((await batch(other.id)).state).toBe('running');
    expect((await batch(id)).state).toBe('creating');
    expect(world.logged).toContainEqual(expect.objectContaining({ level: 'error', message: 'sweep failed' }));
    await world.objects.put({ key, body: Buffer.from(JSON.stringify(jobOf())), contentType: 'application/x-ndjson' });
    world.clock.advance(61_000);
    expect(await world.reconcile()).toMatchObject({ batches: 1, errors: 0 });
    await world.drain();
    expect((await batch(id)).state).toBe('running');
  });

  it('is swept on by the feed when the table was busy', async () => {
    world.close();
    let busy = true;
    const isItem = (write: Write) => write.op === 'put' && write.item.sk.startsWith('ITEM#');
    world = openJobsWorld({
      entries,
      wrapTable: (table) => mortalTable(table, (writes) => busy && writes.some(isItem)),
    });
    const { id } = await createBatch([jobOf()]);
    await expect(world.drain()).rejects.toMatchObject({ code: 'ServiceBusyError' });
    busy = false;
    await world.drain();
    expect((await batch(id)).state).toBe('running');
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

  it('refuses lines that no table can keep, one by one', async () => {
    const nested = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const inputs = [nested, '{"__proto__":{}}', '{"":1}', '{"a":1e300}', '{"a":"\\ud800"}', '{"a":1}'];
    const lines = ['{"workflow":"\\ud800"}', ...inputs.map((input) => `{"workflow":"free","input":${input}}`)];
    await world.objects.put({ key: 'list', body: Buffer.from(lines.join('\n')), contentType: 'text/plain' });
    const file = { file_id: fileId, name: 'l', content_type: 'text/plain', object_key: 'list', checksum_crc64nvme: '' };
    world.deps.findFile = async () => ({ ...file, size_bytes: 99 });
    const { id } = (await world.call('createBatch', { body: { file_id: fileId } })).body;
    await world.drain();
    const refused = { state: 'failed', error: { code: 'ValidationError' } };
    expect(await items(id)).toMatchObject([...lines.slice(1).map(() => refused), { state: 'running' }]);
    await finish((await jobIds(id)).at(-1) as JobId);
    expect(await batch(id)).toMatchObject({ state: 'failed', completed: 1, failed: lines.length - 1 });
    world.checkAtRest();
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
  it('M3 count the jobs of each label by state, exactly', async () => {
    const { id } = await createBatch([
      jobOf({ shop: 'ebay' }),
      jobOf({ shop: 'ebay' }),
      jobOf({ shop: 'etsy' }),
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
      { label: 'ebay', jobs: { ...none, completed: 1, failed: 1 } },
      { label: 'etsy', jobs: { ...none, cancelling: 1 } },
    ]);
    expect((await world.call('getStats', { query: { label: 'ebay' } })).body.items).toEqual(stats.slice(0, 1));
    await world.end(third, 'aborted');
    await world.drain();
    await world.reconcile();
  });
});
