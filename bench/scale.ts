import { type Job, Millrace, memoryStateStore } from '../client/index.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../test/support/e2e-server.ts';
import { createWorkspace } from '../test/support/workspace.ts';
import { atMost, type BenchOptions, type Figure, figure, quantile } from './figures.ts';

const NAME = 'single machine';
/** Jobs whose events are watched at the same time. */
const WATCHED_JOBS = 20;

/** How jobs, their watchers and their tenants' limits scale on the single machine. */
export async function benchScale({ quick }: BenchOptions): Promise<Figure[]> {
  const workspace = await createWorkspace(['ten', 'wide'], []);
  const withServer = async <T>(args: readonly string[], run: (server: EmbeddedServer) => Promise<T>): Promise<T> => {
    const server = await startEmbeddedServer({ root: workspace.folder, args });
    try {
      return await run(server);
    } finally {
      await server.close();
    }
  };
  try {
    const limits: Figure[] = [];
    for (const limit of quick ? [1, 5] : [1, 5, 20]) {
      limits.push(await withServer(['--running-jobs', String(limit)], (server) => jobsPerMinute(server, limit, quick)));
    }
    return await withServer([], async (server) => [
      ...(await timePerTask(server, quick ? { rounds: 1, most: 100 } : { rounds: 5, most: 1_000 })),
      ...limits,
      ...(await watching(server, quick ? [1, 10] : [1, 10, 100])),
      await iterations(server, quick ? 5 : 20),
    ]);
  } finally {
    await workspace.remove();
  }
}

function clientOf({ url, apiKey }: EmbeddedServer): Millrace {
  return new Millrace({ url, apiKey, state: memoryStateStore() });
}

/** No-op tasks, forty of them at once; the ledger is what takes time. */
async function timePerTask(server: EmbeddedServer, { rounds, most }: { rounds: number; most: number }) {
  const client = clientOf(server);
  const times = new Map<number, number[]>();
  const ratios: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    for (let tasks = 10; tasks <= most; tasks *= 10) {
      const job = checkCompleted(await client.jobs.run('wide', { items: tasks }));
      const perTask = secondsOf(job) * (1_000 / tasks);
      if (round > 0) times.set(tasks, [...(times.get(tasks) ?? []), perTask]);
    }
    if (round > 0) ratios.push(Number(times.get(most)?.at(-1)) / Number(times.get(most / 10)?.at(-1)));
  }
  const perTask = [...times].map(([tasks, values]) => figure(`${NAME}: a task of a job of ${tasks}`, values, 'ms'));
  const name = `${NAME}: a task of a job of ${most}, of one of a job of ${most / 10}`;
  return [...perTask, atMost(1.2, name, ratios, 'x')];
}

async function jobsPerMinute(server: EmbeddedServer, limit: number, quick: boolean): Promise<Figure> {
  const client = clientOf(server);
  checkCompleted(await client.jobs.run('ten'));
  const count = (quick ? 2 : 10) * Math.min(limit, 10);
  const created = await Promise.all(Array.from({ length: count }, () => client.jobs.create('ten', { work_ms: 20 })));
  const jobs = await Promise.all(created.map(({ id }) => client.jobs.wait(id)));
  const ends = jobs.map((job) => Date.parse(checkCompleted(job).completed_at ?? ''));
  const first = Math.min(...jobs.map(({ started_at }) => Date.parse(started_at ?? '')));
  const minutes = (Math.max(...ends) - first) / 60_000;
  return figure(`${NAME}: jobs of ten 20 ms tasks, ${limit} of a tenant at once`, count / minutes, 'jobs/min');
}

/** Watchers with a connection each, that all watch the same jobs. */
async function watching(server: EmbeddedServer, counts: readonly number[]): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const count of counts) {
    const watchers = Array.from({ length: count }, () => clientOf(server));
    const creator = clientOf(server);
    const delays: number[] = [];
    let last = 0;
    const started = Date.now();
    const jobs = await Promise.all(
      Array.from({ length: WATCHED_JOBS }, () => creator.jobs.create('ten', { work_ms: 50 })),
    );
    const watch = async (client: Millrace, jobId: string) => {
      for await (const { time } of client.jobs.watch(jobId)) {
        last = Date.now();
        delays.push(last - Date.parse(time));
      }
    };
    await Promise.all(watchers.flatMap((client) => jobs.map(({ id }) => watch(client, id))));
    const who = `${count} watcher${count === 1 ? '' : 's'} of ${WATCHED_JOBS} jobs`;
    figures.push(
      figure(`${NAME}: events delivered, ${who}`, delays.length / ((last - started) / 1_000), 'events/s'),
      atMost(1_000, `${NAME}: from an event to its watcher, ${who}, p95`, quantile(delays, 0.95), 'ms'),
    );
  }
  return figures;
}

async function iterations(server: EmbeddedServer, count: number): Promise<Figure> {
  const job = checkCompleted(await clientOf(server).jobs.run('training', { iterations: count }));
  return figure(`${NAME}: training with its defaults`, count / secondsOf(job), 'iterations/s');
}

function secondsOf({ started_at = '', completed_at = '' }: Job): number {
  return (Date.parse(completed_at) - Date.parse(started_at)) / 1_000;
}

function checkCompleted(job: Job): Job {
  if (job.state !== 'completed') throw new Error(`${job.id} is ${job.state}: ${job.error?.message}`);
  return job;
}
