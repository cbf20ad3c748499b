import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Millrace, memoryStateStore, type Task } from '../client/index.ts';
import { LocalWorkflows } from '../platform/embedded/local-workflows.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import { TaskPool } from '../platform/embedded/task-pool.ts';
import type { Table, Write } from '../platform/ports/table.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { startEmbeddedServer } from '../test/support/e2e-server.ts';
import { openJobsWorld } from '../test/support/jobs-world.ts';
import { createWorkspace } from '../test/support/workspace.ts';
import { atMost, type BenchOptions, type Figure, figure, quantile } from './figures.ts';

/** Of the workflow `ten`. */
const TASKS = 10;
const WORK_MS = 100;
const POLL_MS = 5;

/** What an engine is held to, in milliseconds. */
interface Limits {
  readonly ledgerMsPerTask: number;
  readonly statusMs: number;
  readonly acknowledgedMs: number;
  /** Until no code of a cancelled job runs. */
  readonly stoppedMs?: number;
}

type Times = readonly Pick<Task, 'started_at' | 'ended_at'>[];

/** A deployment with the workflows `ten` and `drill`, and the machine of `ten` with tasks that keep no ledger. */
interface Target {
  readonly name: string;
  readonly client: Millrace;
  /** Runs the bare machine once; its milliseconds. */
  readonly runBare: (workMs: number) => Promise<number>;
  /** Milliseconds of a job's execution, told as those of the bare machine are. */
  readonly executionMs: (job: Job, tasks: Times) => number | Promise<number>;
  readonly limits: Limits;
}

/** Jobs of the single machine. */
export async function benchJobs({ quick }: BenchOptions): Promise<Figure[]> {
  const workspace = await createWorkspace(['drill', 'ten'], []);
  const server = await startEmbeddedServer({ root: workspace.folder });
  const bare = openBareMachine();
  try {
    const target: Target = {
      name: 'single machine',
      client: new Millrace({ url: server.url, apiKey: server.apiKey, state: memoryStateStore() }),
      runBare: bare.run,
      executionMs: (job, tasks) => lastEnd(tasks) - Date.parse(job.started_at ?? ''),
      limits: { ledgerMsPerTask: 3, statusMs: 20, acknowledgedMs: 1_000, stoppedMs: 3_000 },
    };
    const counts = quick
      ? { rounds: 2, atOnce: 10, latencies: 5, calls: 20, cancels: 2 }
      : { rounds: 7, atOnce: 100, latencies: 30, calls: 300, cancels: 5 };
    return [...(await measureJobs(target, counts)), await countWrites()];
  } finally {
    await bare.close();
    await server.close();
    await workspace.remove();
  }
}

interface Counts {
  readonly rounds: number;
  readonly atOnce: number;
  readonly latencies: number;
  readonly calls: number;
  readonly cancels: number;
}

export async function measureJobs(target: Target, counts: Counts): Promise<Figure[]> {
  return [
    ...(await ledger(target, counts.rounds)),
    ...(await throughput(target, counts.atOnce)),
    ...(await latency(target, counts.latencies)),
    ...(await status(target, counts.calls)),
    ...(await cancelling(target, counts.cancels)),
  ];
}

async function throughput({ name, client }: Target, count: number): Promise<Figure[]> {
  const started = performance.now();
  const jobs = await Promise.all(
    Array.from({ length: count }, async () => client.jobs.wait((await client.jobs.create('ten')).id)),
  );
  const seconds = (performance.now() - started) / 1_000;
  for (const job of jobs) checkCompleted(job);
  return [figure(`${name}: jobs of ten no-op tasks, ${count} at once`, count / seconds, 'jobs/s')];
}

async function latency({ name, client }: Target, count: number): Promise<Figure[]> {
  const times: number[] = [];
  for (let at = 0; at < count; at += 1) {
    const job = checkCompleted(await client.jobs.run('ten'));
    times.push(Date.parse(job.started_at ?? '') - Date.parse(job.created_at));
  }
  return [
    figure(`${name}: from created to running`, times, 'ms'),
    figure(`${name}: from created to running, p95`, quantile(times, 0.95), 'ms'),
  ];
}

/** What the ledger adds: a job of ten tasks beside the same machine without one, in rounds by turns. */
async function ledger(target: Target, rounds: number): Promise<Figure[]> {
  const { name, runBare, limits } = target;
  const perTask: number[] = [];
  const withWork: number[] = [];
  const starting: number[] = [];
  const settling: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const [idle, bareIdle] = [await runJob(target, 0), await runBare(0)];
    const [busy, bareBusy] = [await runJob(target, WORK_MS), await runBare(WORK_MS)];
    if (round === 0) continue;
    perTask.push((idle.executionMs - bareIdle) / TASKS);
    withWork.push(busy.executionMs / bareBusy);
    starting.push(idle.startingMs);
    settling.push(idle.settlingMs);
  }
  return [
    atMost(limits.ledgerMsPerTask, `${name}: a job's no-op task, above a bare one`, perTask, 'ms'),
    atMost(1.3, `${name}: ten tasks of ${WORK_MS} ms in a job, of the bare machine's time`, withWork, 'x'),
    figure(`${name}: from running to the first task`, starting, 'ms'),
    figure(`${name}: from the last task's end to completed`, settling, 'ms'),
  ];
}

async function runJob({ client, executionMs }: Target, workMs: number) {
  const job = checkCompleted(await client.jobs.run('ten', { work_ms: workMs }));
  const { items } = await client.jobs.tasks(job.id);
  const firstStart = Math.min(...items.map(({ started_at }) => Date.parse(started_at ?? '')));
  return {
    executionMs: await executionMs(job, items),
    startingMs: firstStart - Date.parse(job.started_at ?? ''),
    settlingMs: Date.parse(job.completed_at ?? '') - lastEnd(items),
  };
}

function lastEnd(tasks: Times): number {
  return Math.max(...tasks.map(({ ended_at }) => Date.parse(ended_at ?? '')));
}

/** While ten jobs are at work. Beside it a call that reads nothing: what the way to the API and back takes. */
async function status({ name, client, limits }: Target, calls: number): Promise<Figure[]> {
  const jobs = await Promise.all(
    Array.from({ length: 10 }, () => client.jobs.create('drill', { items: 200, work_ms: 2_000 })),
  );
  // Where each task is a container, the first ones take most of the machine while they start.
  await Promise.all(jobs.map(({ id }) => untilWorking(client, id)));
  const times: number[] = [];
  const empty: number[] = [];
  for (let at = 0; at < calls; at += 1) {
    const started = performance.now();
    const { state } = await client.jobs.get(jobs[at % jobs.length]?.id ?? '');
    const got = performance.now();
    if (state !== 'running') throw new Error(`a job that should run is ${state}`);
    await client.workflows.list();
    times.push(got - started);
    empty.push(performance.now() - got);
  }
  for (const { id } of jobs) await client.jobs.cancel(id);
  await Promise.all(jobs.map(({ id }) => untilState(client, id, ['cancelled'])));
  return [
    figure(`${name}: status call with ten jobs running`, times, 'ms'),
    atMost(limits.statusMs, `${name}: status call with ten jobs running, p95`, quantile(times, 0.95), 'ms'),
    figure(`${name}: a call that reads nothing meanwhile`, empty, 'ms'),
    figure(`${name}: a call that reads nothing meanwhile, p95`, quantile(empty, 0.95), 'ms'),
  ];
}

async function cancelling({ name, client, limits }: Target, rounds: number): Promise<Figure[]> {
  const acknowledged: number[] = [];
  const stopped: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const { id } = await client.jobs.create('drill', { items: 1, work_ms: 60_000 });
    await untilWorking(client, id);
    const started = performance.now();
    await client.jobs.cancel(id);
    acknowledged.push(performance.now() - started);
    await untilState(client, id, ['cancelled']);
    stopped.push(performance.now() - started);
  }
  const stop = `${name}: cancelled until nothing runs, longest`;
  const longest = Math.max(...stopped);
  return [
    atMost(limits.acknowledgedMs, `${name}: cancel acknowledged, longest`, Math.max(...acknowledged), 'ms'),
    limits.stoppedMs === undefined ? figure(stop, longest, 'ms') : atMost(limits.stoppedMs, stop, longest, 'ms'),
  ];
}

async function untilWorking(client: Millrace, jobId: string): Promise<void> {
  await until(async () => {
    const { items } = await client.jobs.tasks(jobId);
    return items.some(({ step_type, state }) => step_type === 'work' && state === 'running');
  });
}

async function untilState(client: Millrace, jobId: string, states: readonly Job['state'][]): Promise<void> {
  await until(async () => states.includes((await client.jobs.get(jobId)).state));
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 120_000; !(await isSo()); ) {
    if (Date.now() > deadline) throw new Error('what the bench waits for does not come');
    await sleep(POLL_MS);
  }
}

function checkCompleted(job: Job): Job {
  if (job.state !== 'completed') throw new Error(`${job.id} is ${job.state}: ${job.error?.message}`);
  return job;
}

/** The machine of `ten` on the single machine's engine, with threads that only wait. */
function openBareMachine() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const database = openDatabase(join(folder, 'bare.db'));
  const pool = new TaskPool({ workerFile: new URL('bare-worker.ts', import.meta.url) });
  const definition = readFileSync(new URL('../test/fixtures/ten/ten.asl.json', import.meta.url), 'utf8');
  const waiting = new Map<string, () => void>();
  const workflows = new LocalWorkflows({
    database,
    definitions: { ten: JSON.parse(definition) },
    pool,
    log: { info() {}, warn() {}, error() {} },
    clock,
  });
  workflows.recover(async ({ name }) => waiting.get(name)?.());
  return {
    async run(workMs: number): Promise<number> {
      const name = randomUUID();
      const ended = new Promise<void>((resolve) => waiting.set(name, resolve));
      const started = performance.now();
      await workflows.start({ workflow: 'ten', name, input: { job: { work_ms: workMs } } });
      await ended;
      return performance.now() - started;
    },
    async close() {
      await workflows.close();
      await pool.close();
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** The writes of a task's row, counted at the Table port: one when its job is created, two when it runs. */
async function countWrites(): Promise<Figure> {
  let writes = 0;
  const count = (list: readonly { readonly sk: string }[]) => {
    writes += list.filter(({ sk }) => sk.startsWith('TASK#')).length;
  };
  const keyOf = (write: Write) => (write.op === 'put' ? write.item : write.key);
  const world = openJobsWorld({
    wrapTable: (table): Table => ({
      get: (key) => table.get(key),
      query: (query) => table.query(query),
      write: (write) => {
        count([keyOf(write)]);
        return table.write(write);
      },
      transact: (list) => {
        count(list.filter(({ op }) => op !== 'check').map(keyOf));
        return table.transact(list);
      },
      putAll: (items) => {
        count(items);
        return table.putAll(items);
      },
    }),
  });
  try {
    const jobId = await world.started({ steps: TASKS });
    for (let step = 1; step <= TASKS; step += 1) await world.run(jobId, `step${step}`);
    await world.end(jobId);
    await world.drain();
    return atMost(3, "writes of a task's row: creation and one run", writes / TASKS, 'writes');
  } finally {
    world.close();
  }
}
