import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { TrainingInput, training } from '../../contract/workflows/training.ts';
import { executionName } from '../../lambdas/jobs/records.ts';
import { createTaskRunner } from '../../lambdas/jobs/run-task.ts';
import type { TaskDefinition } from '../../lambdas/jobs/task-api.ts';
import { iteration, runLength } from '../../lambdas/workflows/training/iterations.ts';
import { compileStateMachine } from '../../platform/embedded/state-machine.ts';
import type { Value } from '../../platform/ports/table.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';
import { PolicyArtifact, parseCurve, trainHere } from '../support/training.ts';

const small = {
  iterations: 7,
  trajectories: 3,
  pairs: 2,
  hidden_units: 3,
  checkpoint_every: 2,
  evaluation_episodes: 4,
};

/** The tasks as a process has them that has just begun: it remembers no job. */
async function startProcess(): Promise<Readonly<Record<string, TaskDefinition>>> {
  vi.resetModules();
  const tasks = Object.entries(training.tasks).map(async ([state, { file }]) => {
    const module = (await import(/* @vite-ignore */ `../../${file}`)) as { task: TaskDefinition };
    return [state, module.task] as const;
  });
  return Object.fromEntries(await Promise.all(tasks));
}

let world: JobsWorld;
let runTask: ReturnType<typeof createTaskRunner>;
let tasks: Awaited<ReturnType<typeof startProcess>>;
beforeEach(async () => {
  world = openJobsWorld({ entries: { training } });
  runTask = createTaskRunner(world.deps);
  tasks = await startProcess();
});
afterEach(() => world.close());

async function runOnce(jobId: JobId, task: TaskDefinition | undefined, item?: number): Promise<Value> {
  const { attempt, run } = await world.job(jobId);
  const payload = { job: { tenant_id: tenant, job_id: jobId, attempt, run }, ...(item === undefined ? {} : { item }) };
  if (!task) throw new Error('there is no such task');
  return runTask(task, payload, {
    runnerId: world.clock.newId(),
    signal: new AbortController().signal,
    deadline: new Date(world.clock.now().getTime() + 60_000),
  });
}

const definition = JSON.parse(
  await readFile(new URL('../../statemachines/training.asl.json', import.meta.url), 'utf8'),
);
const machine = compileStateMachine('training', definition);

/**
 * Runs the state machine, run after run, up to the iteration `until`, which fails. Answers with the iterations that each
 * run went through.
 */
async function train(jobId: JobId, { until = Number.POSITIVE_INFINITY, eachTakesMs = 0 } = {}): Promise<number[][]> {
  const runs: number[][] = [];
  for (;;) {
    const job = await world.job(jobId);
    const execution = world.workflows.executions.get(executionName(job));
    const ran: number[] = [];
    runs.push(ran);
    const runState = async ({ state, payload }: { state: string; payload: Value }) => {
      const { item } = payload as { item?: number };
      if (state === 'UpdatePolicy') {
        if (item === until) throw new Error('far enough');
        ran.push(item ?? Number.NaN);
        world.clock.advance(eachTakesMs);
      }
      return runOnce(jobId, tasks[state], item);
    };
    const run = machine.run(execution?.input ?? null, {
      signal: new AbortController().signal,
      context: {},
      runTask: runState,
      openToken: () => {
        throw new Error('training waits for no token');
      },
    });
    const ended = await run.then(
      (output) => ({ output }),
      (error: Error) => error,
    );
    if (ended instanceof Error) {
      expect(ended.message).toContain('far enough');
      return runs;
    }
    await world.end(jobId, 'succeeded', ended);
    await world.drain();
    if ((await world.job(jobId)).state !== 'running') return runs;
  }
}

async function readText(jobId: JobId, name: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  const key = `tenant/${tenant}/jobs/${jobId}/artifacts/${name}`;
  for await (const chunk of await world.objects.read(key)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const weightsOf = async (jobId: JobId) =>
  PolicyArtifact.parse(JSON.parse(await readText(jobId, 'policy.json'))).weights;
const jobOf = async (jobId: JobId) => (await world.call('getJob', { params: { job_id: jobId } })).body;
const checkpointsOf = async (jobId: JobId) =>
  (await world.call('listCheckpoints', { params: { job_id: jobId }, query: { limit: 100 } })).body.items;

describe('training', () => {
  it.each([
    small,
    { ...small, environment: 'acrobot', iterations: 3, hidden_units: 0 },
    { ...small, checkpoint_every: 1_000 },
  ])('T1 comes to the weights of a plain loop: %o', async (input) => {
    const jobId = await world.started(input, { workflow: 'training' });
    await train(jobId);
    await world.drain();
    const wanted = trainHere(input);
    expect(await weightsOf(jobId)).toEqual(wanted.weights);
    const curve = parseCurve(await readText(jobId, 'learning-curve.csv'));
    expect(curve.mean_return).toEqual(wanted.means);
    expect(await readText(jobId, 'learning-curve.svg')).toContain('<polyline');
    const { state, progress } = await jobOf(jobId);
    expect([state, progress.percent, progress.completed_tasks]).toEqual(['completed', 100, progress.total_tasks]);
    expect(progress.detail).toMatchObject({ iterations: input.iterations, mean_return: wanted.means.at(-1) });
  });

  it('makes the same policy however its episodes are shared out', async () => {
    const inputs = [
      { ...small, trajectories: 4, pairs: 3 },
      { ...small, trajectories: 12, pairs: 1 },
    ];
    expect(trainHere(inputs[0] ?? {}).weights).toEqual(trainHere(inputs[1] ?? {}).weights);
  });

  it('T2 keeps a checkpoint every few iterations, and tells of it', async () => {
    const jobId = await world.started(small, { workflow: 'training' });
    await train(jobId, { until: 5, eachTakesMs: 10_000 });
    const checkpoints = await checkpointsOf(jobId);
    expect(checkpoints).toMatchObject([
      { iteration: 2, age_seconds: 30 },
      { iteration: 4, age_seconds: 10 },
    ]);
    for (const { checksum_sha256 } of checkpoints) expect(checksum_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(await jobOf(jobId)).toMatchObject({ checkpoint: checkpoints[1], checkpoint_age_seconds: 10 });
    await train(jobId);
    const { checkpoint, checkpoint_age_seconds } = await jobOf(jobId);
    expect([checkpoint?.iteration, checkpoint_age_seconds]).toEqual([6, undefined]);
  });

  it('tells how long a running job has been without a checkpoint, from its start on', async () => {
    const jobId = await world.started(small, { workflow: 'training' });
    world.clock.advance(90_000);
    expect(await jobOf(jobId)).toMatchObject({ checkpoint_age_seconds: 90 });
    expect((await world.reconcile()).oldest_checkpoint_seconds).toBe(90);
    await train(jobId, { until: 2 });
    world.clock.advance(40_000);
    expect((await world.reconcile()).oldest_checkpoint_seconds).toBe(40);
  });

  it.each(['failed', 'aborted'] as const)(
    'T8 goes on from its last checkpoint after its execution was %s, to the same weights',
    async (end) => {
      const jobId = await world.started(small, { workflow: 'training' });
      await train(jobId, { until: 5 });
      // Part of the iteration is done.
      await runOnce(jobId, tasks.RunTrajectory, iteration(5, TrainingInput.parse(small)).items[0]);
      await world.end(jobId, end);
      if (end === 'failed') await world.call('retryJob', { params: { job_id: jobId } });
      await world.drain();
      tasks = await startProcess();
      expect(await train(jobId)).toEqual([[3, 4, 5, 6]]);
      expect(await weightsOf(jobId)).toEqual(trainHere(small).weights);
      const { body } = await world.call('listTasks', { params: { job_id: jobId }, query: { limit: 500 } });
      expect(body.items.filter(({ attempts }) => attempts !== 1)).toEqual([]);
    },
  );

  it('T8 comes to the same weights when its last checkpoint is damaged', async () => {
    const jobId = await world.started(small, { workflow: 'training' });
    await train(jobId, { until: 5 });
    const { items } = await world.objects.list({ prefix: `tenant/${tenant}/jobs/${jobId}/checkpoints/` });
    expect(items).toHaveLength(2);
    for (const { key } of items) {
      await world.objects.put({ key, body: Buffer.from('{}'), contentType: 'application/json' });
    }
    await world.end(jobId, 'failed');
    await world.call('retryJob', { params: { job_id: jobId } });
    await world.drain();
    tasks = await startProcess();
    await train(jobId);
    expect(await weightsOf(jobId)).toEqual(trainHere(small).weights);
    expect(world.logged.map(({ message }) => message)).toContain('checkpoint is corrupt');
  });

  it('T3 frees its slot when it is cancelled, and leaves its last checkpoint and nothing else', async () => {
    const jobId = await world.started(small, { workflow: 'training' });
    await train(jobId, { until: 3 });
    for (const item of iteration(3, TrainingInput.parse(small)).items) {
      await runOnce(jobId, tasks.RunTrajectory, item);
    }
    await world.call('cancelJob', { params: { job_id: jobId } });
    await expect(runOnce(jobId, tasks.UpdatePolicy, 3)).rejects.toMatchObject({ code: 'JobCancelledError' });
    expect((await checkpointsOf(jobId)).map(({ iteration: at }) => at)).toEqual([2]);
    expect((await jobOf(jobId)).checkpoint?.iteration).toBe(2);
    await world.drain();
    await world.reconcile();
    expect([(await jobOf(jobId)).state, await world.slots()]).toEqual(['cancelled', 0]);
    const { items } = await world.objects.list({ prefix: `tenant/${tenant}/jobs/${jobId}/` });
    expect(items.map(({ key }) => key)).toEqual([expect.stringContaining('/checkpoints/iteration-2-')]);
  });

  it('ends a run before 15,000 of the 25,000 events that an execution may have, with one retry of each task', () => {
    // A state makes an event when it is entered and one when it is left, a task three more at each of two tries, a Map two
    // more, and each of its iterations two.
    const eventsOf = ({ Type }: { Type: string }) => 2 + ({ Task: 2 * 3, Map: 2 }[Type] ?? 0);
    const sum = (states: readonly { Type: string }[]) => states.reduce((events, state) => events + eventsOf(state), 0);
    const { RunTrajectories, UpdatePolicy, 'HasMoreIterations?': hasMore, ...once } = definition.States;
    const trajectory = 2 + sum(Object.values(RunTrajectories.ItemProcessor.States));
    const iterationAround = sum([RunTrajectories, UpdatePolicy, hasMore]);
    for (let trajectories = 1; trajectories <= 40; trajectories += 1) {
      const iterations = runLength(TrainingInput.parse({ trajectories }));
      expect(iterations).toBeGreaterThan(0);
      const events = iterations * (trajectories * trajectory + iterationAround) + sum(Object.values(once));
      expect(events).toBeLessThan(15_000);
    }
  });

  it('T1 goes on in a next run well before 25,000 events, and comes to the same weights', async () => {
    const input = { iterations: 30, trajectories: 40, pairs: 1, hidden_units: 0, checkpoint_every: 1_000 };
    const jobId = await world.started(input, { workflow: 'training' });
    const runs = await train(jobId);
    expect(runs.map(({ length }) => length)).toEqual([28, 2]);
    expect(await weightsOf(jobId)).toEqual(trainHere(input).weights);
  });

  it.each([
    [{ environment: 'tetris' }, 'input.environment'],
    [{ seed: -1 }, 'input.seed'],
    [{ iterations: 0 }, 'input.iterations'],
    [{ iterations: 2_000, trajectories: 2 }, 'input.iterations'],
    [{ trajectories: 41 }, 'input.trajectories'],
    [{ trajectories: 40, pairs: 26 }, 'input.pairs'],
    [{ noise_scale: 0 }, 'input.noise_scale'],
    [{ learning_rate: 2 }, 'input.learning_rate'],
    [{ checkpoint_every: 0 }, 'input.checkpoint_every'],
    [{ speed: 9 }, 'input'],
  ])('refuses %o', async (input, field) => {
    const refused = world.create(input, { workflow: 'training' });
    await expect(refused).rejects.toMatchObject({ code: 'ValidationError' });
    const error = (await refused.catch((thrown: unknown) => thrown)) as { details: unknown; message: string };
    expect(JSON.stringify([error.message, error.details])).toContain(field);
  });
});
