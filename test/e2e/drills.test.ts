import { EventBridgeClient, ListRulesCommand, PutRuleCommand } from '@aws-sdk/client-eventbridge';
import {
  DescribeExecutionCommand,
  ExecutionDoesNotExist,
  type ExecutionStatus,
  SFNClient,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import type { Job, Millrace } from '../../client/index.ts';
import { lackOf } from '../support/capabilities.ts';
import { endLeases, reconcileNow } from '../support/deployed-jobs.ts';
import { newTenant, target, until } from '../support/e2e-world.ts';
import { crashesOf, makeFunctionsCrash } from '../support/lambda-functions.ts';

const lack = lackOf('an engine of executions that others reach', target.engine);

/** The execution of a job's attempt and run, in the account that the stacks are deployed to. */
function executionArn(job: Pick<Job, 'id' | 'workflow'>, attempt: number, run: number): string {
  return `arn:aws:states:us-east-1:000000000000:execution:millrace-${job.workflow}:${job.id}-${attempt}-${run}`;
}

/** Keeps the end of one execution from those that wait for it, until the function answered is called. */
async function loseEvent(executionName: string): Promise<() => Promise<void>> {
  const events = new EventBridgeClient(endpoint());
  const { Rules = [] } = await events.send(new ListRulesCommand({}));
  const rule = Rules.find(({ EventPattern = '' }) => EventPattern.includes('Step Functions Execution Status Change'));
  const { Name, EventPattern, Description } = rule ?? {};
  const pattern = JSON.parse(EventPattern ?? '');
  pattern.detail.name = [{ 'anything-but': [executionName] }];
  const put = (text?: string) => events.send(new PutRuleCommand({ Name, Description, EventPattern: text }));
  await put(JSON.stringify(pattern));
  return async () => void (await put(EventPattern));
}

const endpoint = () => ({ ...(process.env.LOCALSTACK_ENDPOINT && { endpoint: process.env.LOCALSTACK_ENDPOINT }) });

const sfn = () => new SFNClient(endpoint());

/** Undefined while there is no such execution. */
async function executionStatus(job: Job, run = 1): Promise<ExecutionStatus | undefined> {
  try {
    const input = { executionArn: executionArn(job, 1, run) };
    return (await sfn().send(new DescribeExecutionCommand(input))).status;
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return undefined;
    throw error;
  }
}

it('U6 goes on with another runner when the one of a task was killed', {
  timeout: 300_000,
  concurrent: true,
}, async () => {
  const { id, client } = await newTenant();
  const job = await client.jobs.create('drill', { items: 2, fates: [['exits']] });
  const isTaken = async () =>
    (await client.jobs.tasks(job.id)).items.some((task) => task.id === 'work-0' && task.attempts > 0);
  await until('a runner has the task', async () => (await isTaken()) || undefined);
  // Elsewhere than in one process a dead runner's lease has to lapse first.
  if (!lack) await endLeases(id, job.id);
  const ended = await until('it has ended', async () => endedJob(client, job), 200);
  expect([ended.state, ended.attempt, ended.error]).toEqual(['completed', 1, undefined]);
  const { items: tasks } = await client.jobs.tasks(job.id);
  expect(tasks.map(({ state }) => state)).toEqual(tasks.map(() => 'completed'));
  expect(tasks.find(({ id }) => id === 'work-0')?.attempts).toBe(2);
});

it.skipIf(lack)(
  `U6 ends right when the event of its execution was lost${lack ? ` (${lack})` : ''}`,
  { timeout: 300_000, concurrent: true },
  async ({ onTestFinished }) => {
    const { client } = await newTenant();
    // Reconcile comes every minute: now and then it is there before the look.
    const job = await until('a job that does not know of its end', async () => {
      const job = await client.jobs.create('drill', { items: 1, prepare_ms: 8_000 });
      onTestFinished(await loseEvent(`${job.id}-1-1`));
      await until('its execution has ended', async () => (await executionStatus(job)) === 'SUCCEEDED' || undefined);
      return (await client.jobs.get(job.id)).state === 'running' ? job : undefined;
    });
    await reconcileNow();
    const ended = await client.jobs.get(job.id);
    expect([ended.state, ended.attempt, ended.progress.percent]).toEqual(['completed', 1, 100]);
  },
);

describe.skipIf(lack)(`a job that something happens to${lack ? ` (${lack})` : ''}`, () => {
  it('U6 is started when its dispatcher was killed between admission and start', { timeout: 400_000 }, async () => {
    await makeFunctionsCrash(/^(Dispatches jobs|Recovers jobs)/);
    // Its time counts from when they are warm.
    await (await newTenant()).client.jobs.run('drill', { items: 1 });
    const crashesEnd = Date.now() + 15_000;
    const { id, client } = await newTenant(`crash-before-startexecution-${crashesEnd}`);
    const job = await client.jobs.create('drill', { items: 1 });
    await until('it is admitted', async () => (await client.jobs.get(job.id)).state === 'running' || undefined);
    expect(await executionStatus(job)).toBeUndefined();
    await until('nothing crashes any more', async () => Date.now() > crashesEnd || undefined);
    await reconcileNow();
    const ended = await until('it has ended', async () => endedJob(client, job), 200);
    expect([ended.state, ended.attempt, ended.retry_count]).toEqual(['completed', 1, 0]);
    expect(await executionStatus(job)).toBe('SUCCEEDED');
    expect(await crashesOf(id)).not.toEqual([]);
  });

  // Not in its Map: LocalStack 4.14 tells that a Map that was stopped has failed.
  it('M5 goes on in a next run when its execution was stopped by hand, and ends right', {
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
    expect(tasks.map(({ state }) => state)).toEqual(Array(4).fill('completed'));
    expect(await executionStatus(job, 2)).toBe('SUCCEEDED');
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

async function endedJob(client: Millrace, { id }: Job): Promise<Job | undefined> {
  const job = await client.jobs.get(id);
  return ['completed', 'failed', 'cancelled'].includes(job.state) ? job : undefined;
}
