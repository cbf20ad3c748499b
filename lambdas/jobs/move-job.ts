import type { JobState } from '../../contract/jobs.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { Item, Table, Value, Write } from '../../platform/ports/table.ts';
import { asJob, batchKey, type JobRecord, jobKey, queueKey, slotsKey, stateIndex, statsKey } from './records.ts';
import { hasEnded, holdsSlot, LATER_TIMESTAMPS, nextState, type Transition, timestampOf } from './transitions.ts';
import { runNumber, transactOnJobs } from './upgrade-row.ts';

interface Change {
  readonly set?: Readonly<Record<string, Value>>;
  readonly remove?: readonly string[];
  /** Refuses to take a slot when the tenant has this many jobs running. */
  readonly runningLimit?: number;
}

type Moved =
  | { readonly outcome: 'moved'; readonly job: JobRecord }
  /** The job is no longer as it was read: here is how it was found. */
  | { readonly outcome: 'changed'; readonly job: JobRecord | undefined }
  /** The tenant's slots are taken, or not set up yet. */
  | { readonly outcome: 'full' };

/**
 * Makes one transition of a job as it was read, and all that goes with it, in one transaction: the job with its
 * timestamp, its row in the queue, its tenant's slot, its place in the index of active jobs, its batch's counters and its
 * tenant's statistics. Nothing else changes these, but for a batch's items without a job.
 */
export async function moveJob(
  deps: { table: Table; clock: Clock; log: Log },
  job: JobRecord,
  transition: Transition,
  change: Change = {},
): Promise<Moved> {
  const to = nextState(job.state, transition);
  if (!to) return { outcome: 'changed', job };
  const { moved, set, remove } = changeTo(to, job, change, deps.clock.now());
  const { state, attempt, run } = job;
  const key = jobKey(job.tenant_id, job.job_id);
  const writes: Write[] = [{ op: 'update', key, if: { state, attempt, run }, set, remove }];
  if (state === 'queued') writes.push({ op: 'delete', key: queueKey(job) });
  if (to === 'queued') writes.push(queueWrite(moved));
  const slot = slotWrite(job, Number(holdsSlot(to)) - Number(holdsSlot(state)), change.runningLimit);
  if (slot) writes.push(slot);
  writes.push(...counterWrites(job, to));

  const result = await transactOnJobs(deps.table, writes);
  if (result.ok) {
    logMove(deps.log, job.state, moved);
    return { outcome: 'moved', job: moved };
  }
  const found = result.failed.find((failure) => failure.index === 0);
  if (!found) return { outcome: 'full' };
  return { outcome: 'changed', job: found.item && asJob(found.item) };
}

/** A job as it is created, and queued by the same transaction, which these writes are a part of. */
export function createQueued(
  deps: { clock: Clock; log: Log },
  job: Item & JobRecord,
): { writes: readonly Write[]; created(): JobRecord } {
  const { moved } = changeTo('queued', job, {}, deps.clock.now());
  return {
    writes: [
      { op: 'put', item: { ...job, ...moved }, unlessExists: true },
      queueWrite(moved),
      ...counterWrites(job, 'queued'),
    ],
    created() {
      logMove(deps.log, job.state, moved);
      return moved;
    },
  };
}

function changeTo(to: JobState, job: JobRecord, change: Change, at: Date) {
  const now = at.toISOString();
  const set: Record<string, Value> = { state: to, ...change.set };
  if (to !== job.state) set[timestampOf(to)] = now;
  if (to === 'queued') set.due_at ??= now;
  const remove = [...(change.remove ?? [])];
  const index = stateIndex(to, job.tenant_id, job.job_id);
  if (index) Object.assign(set, index);
  else remove.push('g2pk', 'g2sk');
  return { moved: withChange(job, set, remove), set, remove };
}

function queueWrite(queued: JobRecord): Write {
  const { job_id, attempt } = queued;
  return { op: 'put', item: { ...queueKey(queued), job_id, attempt } };
}

/** What every new attempt of a job begins with: at its last checkpoint, if it has one. */
export function newAttempt({ attempt, checkpoint }: JobRecord) {
  const begin = { attempt: attempt + 1, ...runNumber(1), interruptions: 0 };
  return checkpoint
    ? { set: { ...begin, continued: checkpoint.continued }, remove: LATER_TIMESTAMPS }
    : { set: begin, remove: [...LATER_TIMESTAMPS, 'continued'] };
}

/** A tenant's slots are one item: how many are taken, and an attribute for each job that holds one. */
function slotWrite(job: JobRecord, step: number, runningLimit: number | undefined): Write | undefined {
  const key = slotsKey(job.tenant_id);
  if (step > 0) {
    const limit = runningLimit === undefined ? {} : { if: { running: { lt: runningLimit } } };
    return { op: 'update', key, ...limit, add: { running: 1 }, set: { [job.job_id]: true } };
  }
  if (step < 0) return { op: 'update', key, upsert: true, add: { running: -1 }, remove: [job.job_id] };
  return undefined;
}

function counterWrites(job: JobRecord, to: JobState): Write[] {
  const { state, tenant_id, batch_id, label } = job;
  if (to === state) return [];
  const writes: Write[] = [];
  const ended = { ...(hasEnded(state) && { [state]: -1 }), ...(hasEnded(to) && { [to]: 1 }) };
  if (batch_id && Object.keys(ended).length > 0) {
    writes.push({ op: 'update', key: batchKey(tenant_id, batch_id), add: ended });
  }
  if (label) {
    const add = { ...(state !== 'creating' && { [state]: -1 }), [to]: 1 };
    writes.push({ op: 'update', key: statsKey(tenant_id, label), upsert: true, add });
  }
  return writes;
}

const COUNTED: Partial<Record<JobState, string>> = {
  completed: 'JobsCompleted',
  failed: 'JobsFailed',
  cancelled: 'JobsCancelled',
};

function logMove(log: Log, from: JobState, job: JobRecord): void {
  const { tenant_id, job_id, workflow, state, attempt, retry_count, error } = job;
  const name = COUNTED[state];
  const metrics = name ? { values: { [name]: 1 }, by: 'workflow' } : undefined;
  log.info('job moved', { tenant_id, job_id, workflow, from, state, attempt, retry_count, code: error?.code, metrics });
}

function withChange(job: JobRecord, set: Readonly<Record<string, Value>>, remove: readonly string[]): JobRecord {
  const kept = Object.entries(job).filter(([name]) => !remove.includes(name));
  return { ...Object.fromEntries(kept), ...set } as JobRecord;
}
