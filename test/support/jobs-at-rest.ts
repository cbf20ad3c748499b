import type { DatabaseSync } from 'node:sqlite';
import { expect } from 'vitest';
import { JOB_STATES } from '../../contract/choices.ts';
import type { JobState } from '../../contract/jobs.ts';
import {
  asBatch,
  asBatchItem,
  asJob,
  asTask,
  type JobRecord,
  type ProgressRecord,
  type TaskRecord,
} from '../../lambdas/jobs/records.ts';
import { hasEnded, nextState, TRANSITION_NAMES } from '../../lambdas/jobs/transitions.ts';
import { taskView } from '../../lambdas/jobs/views.ts';
import { loggedEvent } from '../../lambdas/runtime/event-rows.ts';
import type { Item } from '../../platform/ports/table.ts';

const YEAR_MS = 366 * 24 * 3_600_000;

const legalMoves = new Set(
  JOB_STATES.flatMap((from) => TRANSITION_NAMES.map((transition) => `${from} ${nextState(from, transition)}`)),
);

/** The items of a `SqliteTable` whose sort keys match, such as `TASK#*`. */
export function rowsOf(database: DatabaseSync, table: 'jobs' | 'uploads', sk: string): Item[] {
  const rows = database.prepare(`SELECT body FROM table_${table} WHERE sk GLOB ? ORDER BY pk, sk`).all(sk);
  return rows.map(({ body }) => JSON.parse(String(body)));
}

/** What holds in a table of jobs when nothing is under way: they ended right, and all that counts them is right. */
export function checkJobsAtRest(database: DatabaseSync): void {
  for (const job of rowsOf(database, 'jobs', 'JOB').map(asJob)) {
    const inJob = (sk: string) =>
      rowsOf(database, 'jobs', sk).filter((item) => item.pk === (job as unknown as Item).pk);
    checkJob(job, inJob('TASK#*').map(asTask), inJob('PROGRESS')[0] as unknown as ProgressRecord, inJob('EVENT#*'));
  }
  for (const slots of rowsOf(database, 'jobs', 'SLOTS')) {
    expect(slots.running).toBe(0);
    expect(Object.keys(slots).filter((name) => name.startsWith('job_'))).toEqual([]);
  }
  for (const batch of rowsOf(database, 'jobs', 'BATCH')) checkBatch(database, batch);
  for (const stats of rowsOf(database, 'jobs', 'STATS#*')) {
    const jobs = rowsOf(database, 'jobs', 'JOB').map(asJob);
    for (const state of JOB_STATES) {
      const counted = jobs.filter((job) => `STATS#${job.label}` === stats.sk && job.state === state);
      expect(stats[state] ?? 0).toBe(counted.length);
    }
  }
  const waiting = database.prepare(
    "SELECT body FROM table_jobs WHERE pk GLOB 'T#*#QUEUE' OR g2pk GLOB 'ACTIVE#*' OR g2pk = 'SWEPT'",
  );
  expect(waiting.all()).toEqual([]);
}

/** Each item has one job or one reason for none, and the counters agree with them. */
function checkBatch(database: DatabaseSync, row: Item): void {
  const { total, completed, failed, cancelled } = asBatch(row);
  const jobs = new Map(rowsOf(database, 'jobs', 'JOB').map((job) => [asJob(job).job_id, asJob(job)]));
  const items = rowsOf(database, 'jobs', 'ITEM#*').filter(({ pk }) => pk === row.pk);
  const states = items.map(asBatchItem).map((item) => ('state' in item ? item.state : jobs.get(item.job_id)?.state));
  const count = (state: JobState) => states.filter((one) => one === state).length;
  expect(states.length).toBe(total);
  expect({ completed, failed, cancelled }).toEqual({
    completed: count('completed'),
    failed: count('failed'),
    cancelled: count('cancelled'),
  });
}

/** It has ended by moves that there are, and everything that counts its tasks agrees with them. */
function checkJob(
  job: JobRecord,
  tasks: readonly TaskRecord[],
  progress: ProgressRecord,
  events: readonly Item[],
): void {
  const completed = tasks.filter(({ state }) => state === 'completed').length;
  expect(hasEnded(job.state), `${job.job_id} is ${job.state}`).toBe(true);
  const later = new Date(Date.now() + YEAR_MS);
  expect(tasks.map((task) => taskView(task, job, later).state)).not.toContain('running');
  // The feed counts each change to `completed`: as many as tasks that are so means that each became so once.
  expect(progress).toMatchObject({ completed, total: tasks.length, published_state: job.state });
  if (job.state === 'completed') {
    expect(completed).toBe(tasks.length);
    expect(job.final_counts).toMatchObject({ completed, total: tasks.length });
  }
  if (job.state === 'failed') expect(job.error).toBeDefined();
  let before: JobState = 'creating';
  for (const item of events) {
    const { data } = loggedEvent(item);
    if (!('state' in data)) continue;
    expect(legalMoves).toContain(`${before} ${data.state}`);
    before = data.state as JobState;
  }
  expect(before).toBe(job.state);
}
