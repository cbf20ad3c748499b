import { DescribeExecutionCommand, SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import type { Job } from '../../client/index.ts';
import { lackOf } from '../support/capabilities.ts';
import { newTenant, target, until } from '../support/e2e-world.ts';

const lack = lackOf('an engine of executions that others reach', target.engine);

/** The execution of a job's attempt and leg, in the account that the stacks are deployed to. */
function executionArn(job: Pick<Job, 'id' | 'workflow'>, attempt: number, leg: number): string {
  return `arn:aws:states:us-east-1:000000000000:execution:millrace-${job.workflow}:${job.id}-${attempt}-${leg}`;
}

describe.skipIf(lack)(`a job that something happens to${lack ? ` (${lack})` : ''}`, () => {
  const sfn = () =>
    new SFNClient({ ...(process.env.LOCALSTACK_ENDPOINT && { endpoint: process.env.LOCALSTACK_ENDPOINT }) });

  // Not in its Map: LocalStack 4.14 tells that a Map that was stopped has failed.
  it('M5 goes on in a next leg when its execution was stopped by hand, and ends right', {
    timeout: 300_000,
  }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 2, prepare_ms: 5_000 });
    await until('it prepares', async () => {
      const [prepare] = (await client.jobs.tasks(job.id)).items;
      return prepare?.state === 'running' ? true : undefined;
    });
    await sfn().send(new StopExecutionCommand({ executionArn: executionArn(job, 1, 1), cause: 'by hand' }));
    const ended = await client.jobs.wait(job.id);
    expect([ended.state, ended.attempt, ended.retry_count]).toEqual(['completed', 1, 0]);
    const { items: tasks } = await client.jobs.tasks(job.id);
    expect(tasks.every(({ state }) => state === 'completed')).toBe(true);
    const { status } = await sfn().send(new DescribeExecutionCommand({ executionArn: executionArn(job, 1, 2) }));
    expect(status).toBe('SUCCEEDED');
  });

  it('U8 stays cancelled when the result of a task comes late', { timeout: 300_000 }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 3, work_ms: 4_000 });
    await until('an item runs', async () => {
      const running = (await client.jobs.tasks(job.id)).items.filter(({ state }) => state === 'running');
      return running.length > 0 ? true : undefined;
    });
    await client.jobs.cancel(job.id);
    // The Lambda of the task is not told that its execution was stopped: it runs on until it looks.
    const ended = await client.jobs.wait(job.id);
    expect(ended.state).toBe('cancelled');
    const tasks = (await client.jobs.tasks(job.id)).items;
    expect(tasks.filter(({ state }) => state === 'running')).toEqual([]);
    expect(tasks.at(-1)?.attempts).toBe(0);
    expect((await client.jobs.get(job.id)).state).toBe('cancelled');
  });
});
