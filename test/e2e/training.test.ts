import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Checkpoint, type Job, type JobEvent, Millrace, memoryStateStore } from '../../client/index.ts';
import { chooseAction } from '../../lambdas/workflows/training/episode.ts';
import { readPolicy } from '../../lambdas/workflows/training/policy.ts';
import { lackOf } from '../support/capabilities.ts';
import { startEmbeddedServer } from '../support/e2e-server.ts';
import {
  call,
  completedOf,
  downloadArtifact,
  IS_FULL_SIZE,
  newTenant,
  runCli,
  SLOWER,
  target,
  tasksOf,
  tempFolder,
  until,
} from '../support/e2e-world.ts';
import { PolicyArtifact, parseCurve, trainHere } from '../support/training.ts';

const TIMEOUT = 90_000 * SLOWER;

async function checkpointsOf(client: Millrace, { id }: Pick<Job, 'id'>): Promise<Checkpoint[]> {
  return (await client.jobs.checkpoints(id, { limit: 500 })).items;
}

async function policyOf(client: Millrace, job: Job) {
  return PolicyArtifact.parse(JSON.parse(await downloadArtifact(client, job, 'policy.json')));
}

async function untilCheckpoint(client: Millrace, { id }: Job, iteration: number): Promise<Job> {
  return until(`a checkpoint of iteration ${iteration}`, async () => {
    const job = await client.jobs.get(id);
    if (job.state !== 'queued' && job.state !== 'running') throw new Error(`the job is ${job.state} already`);
    return (job.checkpoint?.iteration ?? 0) >= iteration ? job : undefined;
  });
}

/** Without when each was listed. */
const lasting = (checkpoints: readonly Checkpoint[]) => checkpoints.map(({ age_seconds: _, ...rest }) => rest);

describe('a job of training with its defaults', { tags: ['sized'] }, () => {
  const iterations = IS_FULL_SIZE ? 30 : 10;
  const start = async () => {
    const { client } = await newTenant('training');
    const events: JobEvent[] = [];
    const job = await client.jobs.run('training', { iterations }, { onEvent: (event) => events.push(event) });
    return { client, job, events };
  };
  let started: ReturnType<typeof start> | undefined;
  /** One run for all of these tests. */
  const run = () => {
    started ??= start();
    return started;
  };

  it('T1 solves CartPole, tells how on the way, and inference takes its policy', { timeout: 3 * TIMEOUT }, async ({
    task,
  }) => {
    const { client, job, events } = await run();
    expect([job.state, job.error, job.attempt]).toEqual(['completed', undefined, 1]);
    const policy = await policyOf(client, job);
    const { episodes, mean_return } = policy.training.evaluation;
    task.meta.figures = { mean_return, job_seconds: secondsBetween(job.started_at, job.completed_at) };
    expect(episodes).toBe(20);
    expect(mean_return).toBeGreaterThanOrEqual(475);
    expect(policy.weights).toEqual(trainHere({ iterations }).weights);

    const { mean_return: means = [] } = parseCurve(await downloadArtifact(client, job, 'learning-curve.csv'));
    expect(means).toHaveLength(iterations);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(means.slice(-5))).toBeGreaterThan(2 * mean(means.slice(0, 5)));
    expect(await downloadArtifact(client, job, 'learning-curve.svg')).toMatch(/^<svg /);
    const told = events.flatMap((event) => (event.type === 'job.progress' ? [event.data.progress.detail ?? {}] : []));
    expect(told.filter((detail) => means.includes(detail.mean_return ?? Number.NaN)).length).toBeGreaterThan(1);
    expect(job.progress.detail).toEqual({ iterations, mean_return: means.at(-1), evaluation_return: mean_return });

    const states = [
      [0, 0, 0.1, 0.2],
      [0, 0, -0.1, -0.2],
      [1, 0.5, 0.02, -0.4],
    ];
    const upload = (text: string, name: string) => client.uploads.upload(new Uint8Array(Buffer.from(text)), { name });
    const rows = await upload(`x,x_dot,theta,theta_dot\n${states.map((row) => `${row}\n`).join('')}`, 'states.csv');
    const text = await downloadArtifact(client, job, 'policy.json');
    const model = await upload(text, 'policy.json');
    const scored = await client.jobs.run('inference', { file_id: rows.id, model_file_id: model.id });
    expect([scored.state, scored.error]).toEqual(['completed', undefined]);
    const lines = (await downloadArtifact(client, scored, 'predictions-00000.csv')).trimEnd().split('\n').slice(1);
    const wanted = states.map((state) => chooseAction(readPolicy(text)?.evaluate(state) ?? []));
    expect(lines.map((line) => Number(line.split(',')[0]))).toEqual(wanted);
  });

  it('T2 has kept a checkpoint every 5 iterations', { timeout: 3 * TIMEOUT }, async () => {
    const { client, job } = await run();
    const checkpoints = await checkpointsOf(client, job);
    expect(checkpoints.map(({ iteration }) => iteration)).toEqual(
      [5, 10, 15, 20, 25, 30].filter((iteration) => iteration <= iterations),
    );
    const times = checkpoints.map(({ created_at }) => created_at);
    expect(times).toEqual([...new Set(times)].sort());
    expect(new Set(checkpoints.map(({ checksum_sha256 }) => checksum_sha256)).size).toBe(checkpoints.length);
    for (const { checksum_sha256, created_at, age_seconds, size_bytes } of checkpoints) {
      expect(checksum_sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(Math.abs(age_seconds - (Date.now() - Date.parse(created_at)) / 1_000)).toBeLessThan(30);
      expect(size_bytes).toBeGreaterThan(1_000);
    }
    const { checkpoint, checkpoint_age_seconds } = await client.jobs.get(job.id);
    expect(lasting(checkpoint ? [checkpoint] : [])).toEqual(lasting(checkpoints.slice(-1)));
    expect(checkpoint_age_seconds).toBeUndefined();
  });
});

describe('training', () => {
  // Long enough to be met in the middle.
  const long = { iterations: SLOWER > 1 ? 20 : 120, trajectories: 2, pairs: 4, checkpoint_every: 3 };

  it('T3 T8 is cancelled mid-run, keeps its last checkpoint, and goes on from there to the same weights', {
    timeout: 4 * TIMEOUT,
  }, async () => {
    const { client } = await newTenant('training');
    const job = await client.jobs.create('training', long);
    const running = await untilCheckpoint(client, job, 6);
    expect(running.checkpoint_age_seconds).toBeGreaterThanOrEqual(0);
    await client.jobs.cancel(job.id);
    const cancelled = await client.jobs.wait(job.id);
    expect(cancelled.state).toBe('cancelled');
    const before = await tasksOf(client, job);
    expect(before.filter(({ state }) => state === 'running')).toEqual([]);
    const kept = await checkpointsOf(client, job);
    expect(kept.at(-1)?.iteration).toBeGreaterThanOrEqual(6);
    expect(cancelled.checkpoint?.checksum_sha256).toBe(kept.at(-1)?.checksum_sha256);
    expect((await client.jobs.artifacts(job.id)).items).toEqual([]);
    // A runner that was about to begin gives its task back, and may do so only now.
    expect(completedOf(await tasksOf(client, job))).toEqual(completedOf(before));

    await client.jobs.retry(job.id);
    const ended = await client.jobs.wait(job.id);
    expect([ended.state, ended.attempt, ended.progress.percent]).toEqual(['completed', 2, 100]);
    expect((await policyOf(client, ended)).weights).toEqual(trainHere(long).weights);
    const after = await checkpointsOf(client, job);
    expect(lasting(after.slice(0, kept.length))).toEqual(lasting(kept));
    const tasks = await tasksOf(client, job);
    for (const task of completedOf(before)) expect(tasks).toContainEqual(task);
  });

  it('T6 runs 12 jobs at once, each with its own right result', { timeout: 4 * TIMEOUT, tags: ['sized'] }, async () => {
    const { client } = await newTenant('training');
    const inputs = Array.from({ length: IS_FULL_SIZE ? 12 : 4 }, (_, seed) => {
      return { seed, iterations: 5, trajectories: 2, pairs: 3, checkpoint_every: 2, hidden_units: seed };
    });
    const batched = async () => {
      const { id } = await client.batches.create({ jobs: inputs.map((input) => ({ workflow: 'training', input })) });
      return until('all are made', async () => {
        const made = (await client.batches.items(id)).items.flatMap(({ job_id }) => job_id ?? []);
        return made.length === inputs.length ? made : undefined;
      });
    };
    const called = () => Promise.all(inputs.map(async (input) => (await client.jobs.create('training', input)).id));
    // None is to end before all have begun. Here one ends within a second, sooner than a call that is late; on AWS it takes
    // many, but a batch makes its jobs one after the other.
    const items = await (target.engine === 'embedded' ? batched() : called());
    const runs = await Promise.all(
      items.map(async (jobId, at) => {
        const events: JobEvent[] = [];
        const job = await client.jobs.wait(jobId, { onEvent: (event) => events.push(event) });
        return { input: inputs[at] ?? {}, job, events };
      }),
    );
    for (const { input, job, events } of runs) {
      expect([job.state, job.error]).toEqual(['completed', undefined]);
      const wanted = trainHere(input);
      expect((await policyOf(client, job)).weights).toEqual(wanted.weights);
      expect(parseCurve(await downloadArtifact(client, job, 'learning-curve.csv')).mean_return).toEqual(wanted.means);
      expect((await tasksOf(client, job)).map(({ state }) => state)).toEqual(Array(17).fill('completed'));
      expect((await checkpointsOf(client, job)).map(({ iteration }) => iteration)).toEqual([2, 4]);
      expect(new Set(events.map(({ data }) => data.job_id))).toEqual(new Set([job.id]));
    }
    const lastStart = runs
      .map(({ job }) => job.started_at ?? '')
      .sort()
      .at(-1);
    const firstEnd = runs
      .map(({ job }) => job.completed_at ?? '')
      .sort()
      .at(0);
    expect(Date.parse(lastStart ?? '')).toBeLessThan(Date.parse(firstEnd ?? ''));
  });

  it('T7 shows another process the same job, tasks and checkpoints', { timeout: TIMEOUT }, async () => {
    const tenant = await newTenant('training');
    const { client } = tenant;
    const job = await client.jobs.run('training', { iterations: 4, trajectories: 2, pairs: 1, checkpoint_every: 2 });
    const seen = await runCli(await tempFolder(), tenant, 'job', job.id);
    expect([seen.exit, seen.stderr]).toEqual([0, '']);
    const [told] = seen.events;
    const { checkpoint, ...rest } = await client.jobs.get(job.id);
    expect(told.job).toMatchObject(rest);
    expect(lasting([told.job.checkpoint])).toEqual(lasting(checkpoint ? [checkpoint] : []));
    expect(told.tasks).toEqual(await tasksOf(client, job));
    expect(lasting(told.checkpoints)).toEqual(lasting(await checkpointsOf(client, job)));
  });

  const lack = lackOf('a server process that can be killed', target.engine);

  it.skipIf(lack)(
    `T7 T8 survives a kill of the engine, and ends with the same weights${lack ? ` (${lack})` : ''}`,
    {
      timeout: TIMEOUT,
    },
    async () => {
      const data = join(await tempFolder(), 'data');
      const start = async () => {
        const server = await startEmbeddedServer({ ...(target.workspace ? { root: target.workspace } : {}), data });
        onTestFinished(() => server.close());
        return server;
      };
      const clientOf = ({ url, apiKey }: { url: string; apiKey: string }) =>
        new Millrace({ url, apiKey, state: memoryStateStore() });
      const server = await start();
      const job = await clientOf(server).jobs.create('training', long);
      await untilCheckpoint(clientOf(server), job, 9);
      const kept = await checkpointsOf(clientOf(server), job);
      const done = (await tasksOf(clientOf(server), job)).filter(({ state }) => state === 'completed');
      await server.kill();
      const client = clientOf(await start());
      const [tasks, checkpoints] = [await tasksOf(client, job), await checkpointsOf(client, job)];
      for (const task of done) expect(tasks).toContainEqual(task);
      expect(lasting(checkpoints)).toEqual(expect.arrayContaining(lasting(kept)));
      const ended = await client.jobs.wait(job.id);
      expect([ended.state, ended.attempt, ended.created_at]).toEqual(['completed', 1, job.created_at]);
      expect((await policyOf(client, ended)).weights).toEqual(trainHere(long).weights);
    },
  );

  it('T9 ends failed with what is wrong, at once, and refuses changes that its state does not allow', {
    timeout: TIMEOUT,
  }, async () => {
    const { apiKey, client } = await newTenant('training');
    const trained = await client.jobs.run('training', { iterations: 1, trajectories: 1, pairs: 1 });
    const upload = (text: string, name: string) => client.uploads.upload(new Uint8Array(Buffer.from(text)), { name });
    const model = await upload(await downloadArtifact(client, trained, 'policy.json'), 'policy.json');
    const rows = await upload('x,y\n1,2\n', 'rows.csv');
    const failed = await client.jobs.run('inference', { file_id: rows.id, model_file_id: model.id });
    expect(failed).toMatchObject({
      state: 'failed',
      attempt: 1,
      retry_count: 0,
      error: { code: 'InputDataError', message: expect.stringContaining('expects 4 features'), task: 'score-0' },
    });
    const ask = async (method: string, { id }: Job, path = '') => {
      const { status, body } = await call(method, `/jobs/${id}${path}`, { apiKey });
      return [status, body.error];
    };
    expect(await ask('DELETE', trained)).toEqual([409, 'JobNotCancellableError']);
    expect(await ask('DELETE', failed)).toEqual([409, 'JobNotCancellableError']);
    expect(await ask('POST', trained, '/retry')).toEqual([409, 'JobNotRetryableError']);
    const bad = await call('POST', '/jobs', { apiKey, body: { workflow: 'training', input: { learning_rate: 7 } } });
    expect([bad.status, bad.body.error]).toEqual([400, 'ValidationError']);
    expect(bad.body.message).toContain('input.learning_rate');
    expect((await client.jobs.get(trained.id)).state).toBe('completed');
  });
});

function secondsBetween(from = '', to = ''): number {
  return (Date.parse(to) - Date.parse(from)) / 1_000;
}
