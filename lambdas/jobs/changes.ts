import type { BatchId, JobId, TenantId } from '../../contract/common.ts';
import { DomainError, isRetryable } from '../../contract/errors.ts';
import type { BusEvent } from '../../contract/events.ts';
import type { JobState } from '../../contract/jobs.ts';
import { EVENT_LIFETIME_SECONDS } from '../../contract/limits.ts';
import type { Change, ChangeConsumer, Item, Value } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import type { JobsDeps } from './deps.ts';
import { dispatch } from './dispatch.ts';
import {
  asJob,
  asProgress,
  asTask,
  eventKey,
  type JobRecord,
  type ProgressRecord,
  parseJobPk,
  progressKey,
  readJob,
  readProgress,
} from './records.ts';
import { finishCancellation } from './settle.ts';
import { sweepBatch, sweptBatches } from './sweep-batch.ts';
import { addMeasures, isTaskKey } from './tasks.ts';
import { holdsSlot, timestampOf } from './transitions.ts';
import { runningView } from './views.ts';

/** Progress is told at most this often a job, and once more when all tasks are done. */
const PROGRESS_EVERY_MS = 500;
/** State changes told in one transaction, which takes 100 writes. */
const MAX_STATES_TOLD = 90;

interface JobChanges {
  readonly tenantId: TenantId;
  readonly jobId: JobId;
  readonly changes: Change[];
}

/**
 * What follows from a change of a job, of a task or of a batch: events, counts, the start of queued jobs, the end of
 * cancellations and the steps of sweeps. Changes that come again are told and counted once.
 */
export function consumeJobChanges(deps: JobsDeps): ChangeConsumer {
  return async (changes) => {
    const jobs = groupByJob(changes);
    await Promise.all(
      jobs.map(async (job) => {
        const progress = await tellChanges(deps, job);
        // Its changes come in order: what was cancelled before the last runner was done has been told by now.
        if (progress?.published_state !== 'cancelling' || !job.changes.some(closesTask)) return;
        const now = await readJob(deps.table, job.tenantId, job.jobId);
        if (now) await finishCancellation(deps, now);
      }),
    );
    const tenants = new Set(jobs.filter((job) => job.changes.some(wakesDispatch)).map((job) => job.tenantId));
    for (const tenantId of tenants) await dispatch(deps, tenantId);
    for (const batch of await sweptBatches(deps, changes)) {
      await sweepBatch(deps, batch).catch((error: unknown) => {
        // A busy service is so for all, and the feed comes again. What else is wrong with a batch is left to reconcile: the
        // changes of others don't wait for it.
        if (error instanceof DomainError && isRetryable(error.code)) throw error;
        const { tenant_id, batch_id } = batch;
        deps.log.error('sweep failed', { tenant_id, batch_id, error });
      });
    }
    return undefined;
  };
}

function groupByJob(changes: readonly Change[]): JobChanges[] {
  const jobs = new Map<string, JobChanges>();
  for (const change of changes) {
    const ids = change.key.sk === 'JOB' || isTaskKey(change.key) ? parseJobPk(change.key.pk) : undefined;
    if (!ids || !change.after) continue;
    const job = jobs.get(change.key.pk) ?? { ...ids, changes: [] };
    jobs.set(change.key.pk, job);
    job.changes.push(change);
  }
  return [...jobs.values()];
}

function closesTask({ key, before, after }: Change): boolean {
  return isTaskKey(key) && before?.state === 'running' && after?.state !== 'running';
}

function wakesDispatch({ key, before, after }: Change): boolean {
  if (key.sk !== 'JOB' || before?.state === after?.state) return false;
  const freed = before !== undefined && holdsSlot(asJob(before).state) && after && !holdsSlot(asJob(after).state);
  return freed || after?.state === 'queued';
}

/**
 * Counts and tells what `last_seq` says is not counted and told yet; answers the progress that has it all. Events and
 * counts are written by one transaction on that condition, so that each change is told once; the bus gets it before, and
 * knows repeats by their id.
 */
async function tellChanges(
  deps: JobsDeps,
  { tenantId, jobId, changes }: JobChanges,
): Promise<ProgressRecord | undefined> {
  const key = progressKey(tenantId, jobId);
  let before = await readProgress(deps.table, tenantId, jobId);
  for (;;) {
    const fresh = changes.filter((change) => !before || change.seq > before.last_seq);
    const news = digest(before, fresh, deps.clock.now());
    if (!news) return before;
    if (news.busEvents.length > 0) await deps.bus.publish(news.busEvents);
    // Late progress is an event too, without a change of its own.
    const { last_seq, last_event = { absent: true } as const } = before ?? {};
    const expected = last_seq === undefined ? { unlessExists: true } : { if: { last_seq, last_event } };
    const told = await deps.table.transact([
      { op: 'put', item: { ...news.progress, ...key }, ...expected },
      ...inOrder(news.events, before?.last_event).map(({ seq, ...event }) => ({
        op: 'put' as const,
        item: { ...eventKey(tenantId, jobId, seq), ...event },
      })),
    ]);
    if (news.progress.pending_progress_seq && !before?.pending_progress_seq)
      deps.later?.(PROGRESS_EVERY_MS, () => publishPendingProgress(deps, tenantId, jobId));
    // What is left of these changes is told in the next round, from what is written, by this or by somebody else.
    before = told.ok ? news.progress : asProgress(told.failed[0]?.item);
  }
}

/** Tells progress that came too soon after the one told before it, unless something has been told since. */
export async function publishPendingProgress(deps: JobsDeps, tenantId: TenantId, jobId: JobId): Promise<void> {
  const told = await readProgress(deps.table, tenantId, jobId);
  const now = deps.clock.now();
  if (!told?.pending_progress_seq || !told.last_event || now.getTime() - told.progress_at < PROGRESS_EVERY_MS) return;
  const { pending_progress_seq: seq, ...known } = told;
  const progress = runningView({ ...known, phase: known.phase, run: known.run }, now) as { [name: string]: Value };
  const event = {
    type: 'job.progress',
    time: now.toISOString(),
    progress,
    ttl: ttlAfter(now, EVENT_LIFETIME_SECONDS),
    ...inBatch(known.batch_id),
  };
  const item = { ...known, ...progressKey(tenantId, jobId), last_event: seq, progress_at: now.getTime() };
  // If it is not written, somebody has told more by now.
  await deps.table.transact([
    { op: 'put', item, if: { last_seq: told.last_seq, last_event: told.last_event } },
    { op: 'put', item: { ...eventKey(tenantId, jobId, seq), ...event, follows: told.last_event } },
  ]);
}

interface News {
  readonly progress: ProgressRecord;
  readonly events: readonly EventToTell[];
  readonly busEvents: readonly BusEvent[];
}
type EventToTell = { readonly seq: string; readonly type: string; readonly [attribute: string]: Value };

/** Each event names the one that it follows, so that a watcher sees when it has missed one. */
function inOrder(events: readonly EventToTell[], lastBefore: string | undefined): EventToTell[] {
  const sorted = [...events].sort((a, b) => (a.seq < b.seq ? -1 : 1));
  return sorted.map((event, at) => {
    const follows = sorted[at - 1]?.seq ?? lastBefore;
    return follows ? { ...event, follows } : event;
  });
}

/** Undefined if there is nothing to count or tell in these changes. */
function digest(before: ProgressRecord | undefined, changes: readonly Change[], now: Date): News | undefined {
  const ttl = ttlAfter(now, EVENT_LIFETIME_SECONDS);
  const events: EventToTell[] = [];
  const busEvents: BusEvent[] = [];
  const detail: Record<string, number> = { ...before?.detail };
  let { completed, total } = before ?? { completed: 0, total: 0 };
  let phase = before?.phase;
  let run = before?.run;
  let batchId = before?.batch_id;
  let publishedState: JobState | undefined = before?.published_state;
  let lastTaskSeq: string | undefined;
  let lastSeq = before?.last_seq ?? '';

  for (const change of changes) {
    const { seq, after } = change;
    if (!after) continue;
    if (events.length === MAX_STATES_TOLD) break;
    lastSeq = seq;
    if (isTaskKey(change.key)) {
      const task = asTask(after);
      if (!change.before) total += 1;
      if (change.before && change.before.state === task.state) continue;
      if (task.state === 'pending') continue;
      lastTaskSeq = seq;
      phase = task.step;
      if (task.state !== 'completed') continue;
      completed += 1;
      addMeasures(detail, task);
    } else if (change.before?.state !== after.state && after.state !== 'creating') {
      const job = asJob(after);
      publishedState = job.state;
      batchId = job.batch_id;
      if (job.state === 'running') {
        run = { started_at: stateTime(job), completed };
        phase = undefined;
      }
      events.push({ seq, ttl, ...stateChanged(job, change.before && asJob(change.before).state) });
      busEvents.push(busEvent(job, seq));
    }
  }

  const counted = completed !== before?.completed || total !== before.total;
  if (!counted && phase === before.phase && events.length === 0) return undefined;
  let progressAt = before?.progress_at ?? 0;
  let pendingSeq = lastTaskSeq ?? before?.pending_progress_seq;
  const allDone = completed === total && completed !== (before?.completed ?? 0);
  if (lastTaskSeq && (allDone || now.getTime() - progressAt >= PROGRESS_EVERY_MS)) {
    progressAt = now.getTime();
    pendingSeq = undefined;
    const progress = runningView({ completed, total, detail, phase, run }, now) as { [name: string]: Value };
    const time = now.toISOString();
    events.push({ seq: lastTaskSeq, ttl, type: 'job.progress', time, progress, ...inBatch(batchId) });
  }
  const lastEvent =
    events
      .map(({ seq }) => seq)
      .sort()
      .at(-1) ??
    before?.last_event ??
    '';
  return {
    progress: {
      completed,
      total,
      detail,
      ...(phase ? { phase } : {}),
      ...(run ? { run } : {}),
      last_seq: lastSeq,
      last_event: lastEvent,
      ...(publishedState ? { published_state: publishedState } : {}),
      ...inBatch(batchId),
      progress_at: progressAt,
      // What is older than the last event can't be told after it.
      ...(pendingSeq && pendingSeq > lastEvent ? { pending_progress_seq: pendingSeq } : {}),
    },
    events,
    busEvents,
  };
}

function stateTime(job: JobRecord): string {
  return String((job as Item & JobRecord)[timestampOf(job.state)] ?? job.created_at);
}

function stateChanged(job: JobRecord, previous: JobState | undefined) {
  return {
    type: 'job.state_changed',
    time: stateTime(job),
    state: job.state,
    attempt: job.attempt,
    ...inBatch(job.batch_id),
    ...(previous && previous !== 'creating' ? { previous } : {}),
    ...(job.error ? { error: job.error } : {}),
  };
}

function inBatch(batchId: BatchId | undefined): { readonly batch_id?: BatchId } {
  return batchId === undefined ? {} : { batch_id: batchId };
}

function busEvent(job: JobRecord, seq: string): BusEvent {
  const { job_id, workflow, state, attempt, batch_id, error } = job;
  return {
    id: `${job_id}:${seq}`,
    tenant_id: job.tenant_id,
    time: stateTime(job),
    type: 'job.state_changed',
    data: { job_id, workflow, state, attempt, ...(batch_id ? { batch_id } : {}), ...(error ? { error } : {}) },
  };
}
