import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { dispatch } from '../../lambdas/jobs/dispatch.ts';
import { executionName, queuePk, slotsKey } from '../../lambdas/jobs/records.ts';
import { runNumber } from '../../lambdas/jobs/upgrade-row.ts';
import { type JobsWorld, openJobsWorld, otherTenant, tenant, unsteadyTable } from '../support/jobs-world.ts';

let world: JobsWorld;
afterEach(() => world.close());

const names = () => [...world.workflows.executions.keys()];

describe('dispatch', () => {
  test('U6 starts a queued job under the name of its attempt and run', async () => {
    world = openJobsWorld();
    const jobId = await world.started({ steps: 1 });
    expect((await world.job(jobId)).state).toBe('running');
    expect(world.workflows.running()).toEqual([
      {
        workflow: 'line',
        name: `${jobId}-1-1`,
        state: 'running',
        input: { job: { tenant_id: tenant, job_id: jobId, attempt: 1, ...runNumber(1) } },
      },
    ]);
    expect(await world.slots()).toBe(1);
    expect((await world.call('getJob', { params: { job_id: jobId } })).body).toMatchObject({
      state: 'running',
      started_at: world.clock.now().toISOString(),
      progress: { phase: 'starting' },
    });
  });

  test('U11 runs no more than the limit, first in first out', async () => {
    world = openJobsWorld({ runningLimit: 2 });
    const ids: JobId[] = [];
    for (let count = 0; count < 6; count += 1) {
      world.clock.advance(1);
      ids.push(await world.create());
    }
    await world.drain();
    for (const jobId of ids) {
      expect(world.workflows.running()).toHaveLength(Math.min(2, ids.length - ids.indexOf(jobId)));
      await world.end(jobId, 'succeeded');
      await world.drain();
    }
    expect(names()).toEqual(ids.map((jobId) => `${jobId}-1-1`));
    expect(await world.slots()).toBe(0);
  });

  test('keeps to the limit and starts each job once when many dispatch at once', async () => {
    let seed = 7;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    world = openJobsWorld({ runningLimit: 5, wrapTable: (table) => unsteadyTable(table, random, 0) });
    for (let count = 0; count < 12; count += 1) await world.create();
    let starts = 0;
    world.workflows.beforeStart = async () => {
      starts += 1;
      await setImmediate();
    };
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(Array.from({ length: 6 }, () => dispatch(world.deps, tenant)));
      const running = world.workflows.running();
      expect(running.length).toBeLessThanOrEqual(5);
      expect(await world.slots()).toBe(running.length);
      for (const { name, workflow } of running) {
        world.workflows.end(name, 'succeeded');
        await world.settle({ workflow, name });
      }
    }
    expect(starts).toBe(12);
    expect(names()).toEqual([...names()].sort());
    expect(await world.slots()).toBe(0);
  });

  test("does not let one tenant's queue hold up another's", async () => {
    world = openJobsWorld({ runningLimit: 1 });
    for (let count = 0; count < 3; count += 1) await world.create();
    const other = await world.call('createJob', { body: { workflow: 'line', input: {}, max_retries: 0 } }, otherTenant);
    await world.drain();
    expect(names()).toContain(`${other.body.id}-1-1`);
    expect([await world.slots(), await world.slots(otherTenant)]).toEqual([1, 1]);
  });

  test('stops an execution whose job was cancelled while it was being started', async () => {
    world = openJobsWorld();
    const jobId = await world.create();
    world.workflows.beforeStart = async () => {
      await world.call('cancelJob', { params: { job_id: jobId } });
    };
    await world.drain();
    expect(world.workflows.executions.get(`${jobId}-1-1`)?.state).toBe('aborted');
  });

  test('fails a job whose state machine is gone, and goes on with the next', async () => {
    world = openJobsWorld({ runningLimit: 1 });
    const jobId = await world.create();
    const next = await world.create();
    world.workflows.beforeStart = async (name) => {
      if (name.startsWith(jobId)) throw new DomainError('WorkflowNotFoundError', 'there is no workflow line');
    };
    await world.drain();
    expect(await world.job(jobId)).toMatchObject({ state: 'failed', error: { code: 'WorkflowNotFoundError' } });
    expect((await world.job(next)).state).toBe('running');
    expect(await world.slots()).toBe(1);
  });

  test('drops a row of the queue whose job is not queued', async () => {
    world = openJobsWorld();
    const jobId = await world.started();
    const row = { pk: queuePk(tenant), sk: `0#${jobId}`, job_id: jobId, attempt: 1 };
    await world.table.putAll([row]);
    await dispatch(world.deps, tenant);
    expect(await world.table.get(row)).toBeUndefined();
    expect(await world.table.get(slotsKey(tenant))).toMatchObject({ running: 1, [jobId]: true });
    expect(names()).toEqual([executionName(await world.job(jobId))]);
  });
});
