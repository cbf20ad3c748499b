import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { jobKey, readJob } from '../../lambdas/jobs/records.ts';
import { fileId, type JobsWorld, openJobsWorld, otherTenant, tenant } from '../support/jobs-world.ts';

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld();
});
afterEach(() => world.close());

const body = (input: Record<string, unknown> = {}) => ({ workflow: 'line', input, max_retries: 3 });

describe('createJob', () => {
  test('M1 makes the planned tasks with their step_type and step_order, all pending, and queues the job', async () => {
    const { status, body: job } = await world.call('createJob', { body: body({ steps: 3, file_id: fileId }) });
    expect(status).toBe(201);
    expect(job).toMatchObject({
      state: 'queued',
      input: { steps: 3, file_id: fileId },
      attempt: 1,
      retry_count: 0,
      max_retries: 3,
      progress: { percent: 0, phase: 'queued', completed_tasks: 0, total_tasks: 3 },
      queued_at: world.clock.now().toISOString(),
    });
    const tasks = await world.call('listTasks', { params: { job_id: job.id }, query: { limit: 50 } });
    expect(tasks.body.items.map(({ id, step_type, step_order, state }) => [id, step_type, step_order, state])).toEqual([
      ['step1', 'step1', 1, 'pending'],
      ['step2', 'step2', 2, 'pending'],
      ['step3', 'step3', 3, 'pending'],
    ]);
    expect((await world.job(job.id)).files.file_id?.object_key).toBe('tenant/acme/files/1');
  });

  test.each([
    { steps: 98, transactions: 1, seen: [undefined, 'queued'] },
    { steps: 99, transactions: 3, seen: [undefined, 'creating', 'queued'] },
  ])('creates and queues $steps tasks by $transactions transactions', async ({ steps, transactions, seen }) => {
    const { names } = await world.callsDuring(() => world.create({ steps }));
    expect(names.filter((name) => name === 'transact')).toHaveLength(transactions);
    const changes = world.nextChanges(1_000).filter(({ key }) => key.sk === 'JOB');
    expect([undefined, ...changes.map(({ after }) => after?.state)]).toEqual(seen);
  });

  test('keeps the order of more than a hundred tasks over pages', async () => {
    const jobId = await world.create({ steps: 250 });
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const query = { limit: 100, ...(cursor ? { cursor } : {}) };
      const page = await world.call('listTasks', { params: { job_id: jobId }, query });
      ids.push(...page.body.items.map(({ id }) => id));
      cursor = page.body.next_cursor;
    } while (cursor);
    expect(ids).toEqual(Array.from({ length: 250 }, (_, index) => `step${index + 1}`));
  });

  test('refuses an unknown workflow and names those there are', async () => {
    for (const workflow of ['nope', 'constructor'])
      await expect(world.call('createJob', { body: { ...body(), workflow } })).rejects.toMatchObject({
        code: 'WorkflowNotFoundError',
        details: { workflows: ['line', 'fan'] },
      });
  });

  test('refuses input that its workflow does not take, by field', async () => {
    await expect(world.call('createJob', { body: body({ steps: 'many', more: 1 }) })).rejects.toMatchObject({
      code: 'ValidationError',
      details: { problems: [{ field: 'input.steps' }, { field: 'input' }] },
    });
  });

  test('refuses a file that the tenant does not have', async () => {
    const request = { body: body({ file_id: fileId }) };
    await expect(world.call('createJob', request, otherTenant)).rejects.toMatchObject({
      code: 'FileNotFoundError',
      details: { field: 'input.file_id' },
    });
  });

  test('refuses an input above 64 KiB', async () => {
    const request = { body: body({ text: 'x'.repeat(65_536) }) };
    await expect(world.call('createJob', request)).rejects.toMatchObject({ code: 'PayloadTooLargeError' });
  });
});

describe('createJob with an idempotency key', () => {
  const headers = { 'idempotency-key': 'k1' };

  test('answers a repeat with the same job, whatever the order of its fields', async () => {
    const first = await world.call('createJob', { headers, body: body({ steps: 2, text: 'a' }) });
    await world.drain();
    const again = await world.call('createJob', { headers, body: body({ text: 'a', steps: 2 }) });
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body).toMatchObject({ id: first.body.id, state: 'running' });
  });

  test('creates another job when the one that the key made is gone', async () => {
    const first = await world.call('createJob', { headers, body: body({}) });
    await world.deps.table.write({ op: 'delete', key: jobKey(tenant, first.body.id) });
    const next = await world.call('createJob', { headers, body: body({}) });
    expect(next.status).toBe(201);
    expect(next.body.id).not.toBe(first.body.id);
  });

  test('refuses another request under the same key', async () => {
    await world.call('createJob', { headers, body: body({ steps: 2 }) });
    const other = world.call('createJob', { headers, body: body({ steps: 3 }) });
    await expect(other).rejects.toMatchObject({ code: 'IdempotencyConflictError' });
  });

  test('makes one job of 20 requests at once', async () => {
    const requests = Array.from({ length: 20 }, () => world.call('createJob', { headers, body: body() }));
    const replies = await Promise.all(requests);
    expect(new Set(replies.map((reply) => reply.body.id)).size).toBe(1);
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  });

  test('is a key of its own for another tenant, and free again after a week', async () => {
    const first = await world.call('createJob', { headers, body: body() });
    expect((await world.call('createJob', { headers, body: body() }, otherTenant)).status).toBe(201);
    world.clock.advance(7 * 24 * 3_600_000);
    const later = await world.call('createJob', { headers, body: body({ steps: 9 }) });
    expect(later.status).toBe(201);
    expect(later.body.id).not.toBe(first.body.id);
  });
});

describe('reading jobs', () => {
  test('M12 answers nothing about another tenant', async () => {
    const jobId = await world.started();
    const params = { job_id: jobId };
    const page = { limit: 50 };
    const unknown = { code: 'JobNotFoundError' };
    await expect(world.call('getJob', { params }, otherTenant)).rejects.toMatchObject(unknown);
    await expect(world.call('cancelJob', { params }, otherTenant)).rejects.toMatchObject(unknown);
    await expect(world.call('retryJob', { params }, otherTenant)).rejects.toMatchObject(unknown);
    await expect(world.call('listTasks', { params, query: page }, otherTenant)).rejects.toMatchObject(unknown);
    await expect(world.call('listArtifacts', { params, query: page }, otherTenant)).rejects.toMatchObject(unknown);
    const events = { params, query: { wait_seconds: 0, limit: 50 } };
    await expect(world.call('listJobEvents', events, otherTenant)).rejects.toMatchObject(unknown);
    expect((await world.call('listJobs', { query: page }, otherTenant)).body.items).toEqual([]);
    expect(await readJob(world.table, otherTenant, jobId)).toBeUndefined();
  });

  test('lists newest first, by pages', async () => {
    const ids: JobId[] = [];
    for (let count = 0; count < 5; count += 1) ids.unshift(await world.create());
    const first = await world.call('listJobs', { query: { limit: 3 } });
    const cursor = first.body.next_cursor ?? '';
    const second = await world.call('listJobs', { query: { limit: 3, cursor } });
    expect([...first.body.items, ...second.body.items].map(({ id }) => id)).toEqual(ids);
    expect(second.body.next_cursor).toBeUndefined();
  });

  describe('of a range of times', () => {
    const ids: JobId[] = [];
    let times: string[] = [];
    beforeEach(async () => {
      ids.length = 0;
      for (let count = 0; count < 5; count += 1) {
        ids.unshift(await world.create());
        world.clock.advance(1);
      }
      times = await Promise.all(ids.map(async (jobId) => (await world.job(jobId)).created_at));
    });
    const list = async (query: { created_after?: string; created_before?: string; state?: 'failed' }) =>
      (await world.call('listJobs', { query: { limit: 50, ...query } })).body.items.map(({ id }) => id);

    test('has those created at its beginning, and not those at its end', async () => {
      expect(new Set(times).size).toBe(5);
      expect(await list({ created_after: times[2] })).toEqual(ids.slice(0, 3));
      expect(await list({ created_before: times[2] })).toEqual(ids.slice(3));
      expect(await list({ created_after: times[3], created_before: times[1] })).toEqual(ids.slice(2, 4));
      expect(await list({ created_after: '2026-01-01T02:00:00.003+02:00' })).toEqual(ids.slice(0, 2));
      expect(await list({ created_before: '1969-12-31T00:00:00Z' })).toEqual([]);
      expect(await list({ created_after: '0000-01-01T00:00:00Z', created_before: '9999-12-31T23:59:59Z' })).toEqual(
        ids,
      );
    });

    test('goes by pages, and a cursor from outside of it is refused', async () => {
      const query = { limit: 1, created_after: times[3], created_before: times[1] };
      const first = (await world.call('listJobs', { query })).body;
      const second = (await world.call('listJobs', { query: { ...query, cursor: first.next_cursor } })).body;
      expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids.slice(2, 4));
      expect(second.next_cursor).toBeUndefined();
      const earlier = { limit: 1, created_before: times[2], cursor: first.next_cursor };
      await expect(world.call('listJobs', { query: earlier })).rejects.toMatchObject({ code: 'InvalidCursorError' });
    });

    test('is read without the jobs beside it', async () => {
      for (let count = 0; count < 40; count += 1) await world.create();
      const query = { limit: 1, workflow: 'line', created_before: times[0] };
      const { items } = (await world.call('listJobs', { query })).body;
      expect(items.map(({ id }) => id)).toEqual([ids[1]]);
    });

    test('holds for the failed ones', async () => {
      await world.drain();
      for (const jobId of ids) await world.end(jobId, 'failed');
      expect(await list({ state: 'failed', created_after: times[1], created_before: times[0] })).toEqual([ids[1]]);
    });
  });

  test('finds the one failed job behind many others', async () => {
    const failed = await world.started();
    await world.end(failed, 'failed', { error: { name: 'States.Timeout', cause: 'too slow' } });
    for (let count = 0; count < 30; count += 1) await world.create();
    const found = await world.call('listJobs', { query: { limit: 5, state: 'failed', workflow: 'line' } });
    expect(found.body.items.map(({ id }) => id)).toEqual([failed]);
    const none = await world.call('listJobs', { query: { limit: 5, state: 'failed', workflow: 'fan' } });
    expect(none.body.items).toEqual([]);
  });

  test('lists a failed job until it is retried', async () => {
    const failed = await world.started();
    await world.end(failed, 'failed');
    const list = async () => (await world.call('listJobs', { query: { limit: 5, state: 'failed' } })).body.items;
    expect((await list()).map(({ id }) => id)).toEqual([failed]);
    expect((await world.call('listJobs', { query: { limit: 5, state: 'failed' } }, otherTenant)).body.items).toEqual(
      [],
    );
    await world.call('retryJob', { params: { job_id: failed } });
    expect(await list()).toEqual([]);
  });

  test('U11 tells the place in the queue, exactly up to 100', async () => {
    for (let count = 0; count < 5; count += 1) await world.started();
    const ids: JobId[] = [];
    for (let count = 0; count < 102; count += 1) {
      world.clock.advance(1);
      ids.push(await world.create());
    }
    await world.drain();
    const place = async (jobId: JobId) =>
      (await world.call('getJob', { params: { job_id: jobId } })).body.queue_position;
    const places = async () => Promise.all([0, 1, 99, 100, 101].map((at) => place(ids[at] as JobId)));
    expect(await places()).toEqual([1, 2, 100, 101, 101]);
    await world.call('cancelJob', { params: { job_id: ids[0] as JobId } });
    expect(await places()).toEqual([undefined, 1, 99, 100, 101]);
    const { items } = (await world.call('listJobs', { query: { limit: 500 } })).body;
    expect(items.map(({ queue_position }) => queue_position)).toEqual([
      101,
      ...Array.from({ length: 100 }, (_, at) => 100 - at),
      ...Array(6).fill(undefined),
    ]);
  });

  test('lists the workflows with the JSON Schema of their input', async () => {
    const { items } = (await world.call('listWorkflows')).body;
    expect(items.map(({ name }) => name)).toEqual(['line', 'fan']);
    expect(items[0]?.input).toMatchObject({ type: 'object', properties: { steps: { type: 'integer', default: 2 } } });
  });

  test('keeps a job in the index of active jobs until it ends', async () => {
    const jobId = await world.started();
    const key = jobKey((await world.job(jobId)).tenant_id, jobId);
    expect(await world.table.get(key)).toHaveProperty('g2pk', expect.stringMatching(/^ACTIVE#/));
    await world.end(jobId, 'succeeded');
    expect(await world.table.get(key)).not.toHaveProperty('g2pk');
  });
});
