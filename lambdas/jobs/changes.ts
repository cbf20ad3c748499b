import type { BatchId, JobId, TenantId } from '../../contract/common.ts';
import { DomainError, isRetryable } from '../../contract/errors.ts';
import type { JobEvent } from '../../contract/events/jobs.ts';
import type { JobState } from '../../contract/jobs.ts';
import type { Change, ChangeConsumer, Item } from '../../platform/ports/table.ts';
import { eventItem } from '../runtime/event-rows.ts';
import { batchEventItems } from './batch-events.ts';
import type { JobsDeps } from './deps.ts';
import { dispatch } from './dispatch.ts';
import {
  asJob,
  asProgress,
  asTask,
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

/** A job publishes progress at most this often, and once more when all tasks are completed. */
const PROGRESS_EVERY_MS = 500;
/** Changes of state published in one transaction, which takes 100 writes. */
const MAX_STATES_AT_ONCE = 90;

interface JobChanges {
  readonly tenantId: TenantId;
  readonly jobId: JobId;
  readonly changes: Change[];
}

/**
 * What follows from a change of a job, of a task or of a batch: events, counts, the start of queued jobs, the end of
 * cancellations and the steps of sweeps. Changes that come again are published and counted once.
 */
export function consumeJobChanges(deps: JobsDeps): ChangeConsumer {
  return async (changes) => {
    const jobs = groupByJob(changes);
    await Promise.all(
      jobs.map(async (job) => {
        const progress = await publishChanges(deps, job);
        // Its changes come in order: what was cancelled before the last runner was done has been published by now.
        if (progress?.published_state !== 'cancelling' || !job.changes.some(closesTask)) return;
        const now = await readJob(deps.table, job.tenantId, job.jobId);
        if (now) await finishCancellation(deps, now);
      }),
    );
    const batchEvents = batchEventItems(changes, deps.clock.now());
    if (batchEvents.length > 0) await deps.table.putAll(batchEvents);
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
 * Counts and publishes what `last_seq` says is not counted and published yet; returns the progress that has it all. Events
 * and counts are written by one transaction on that condition, so that the log has each event once.
 */
async function publishChanges(
  deps: JobsDeps,
  { tenantId, jobId, changes }: JobChanges,
): Promise<ProgressRecord | undefined> {
  const key = progressKey(tenantId, jobId);
  let before = await readProgress(deps.table, tenantId, jobId);
  for (;;) {
    const now = deps.clock.now();
    const fresh = changes.filter((change) => !before || change.seq > before.last_seq);
    const news = digest({ tenantId, jobId }, before, fresh, now);
    if (!news) return before;
    // Late progress is an event too, without a change of its own.
    const { last_seq, last_event = { absent: true } as const } = before ?? {};
    const expected = last_seq === undefined ? { unlessExists: true } : { if: { last_seq, last_event } };
    const written = await deps.table.transact([
      { op: 'put', item: { ...news.progress, ...key }, ...expected },
      ...eventItems(key.pk, news.events, before?.last_event, now).map((item) => ({ op: 'put' as const, item })),
    ]);
    if (news.progress.pending_progress_seq && !before?.pending_progress_seq)
      deps.later?.(PROGRESS_EVERY_MS, () => publishPendingProgress(deps, tenantId, jobId));
    // What is left of these changes is published in the next round, from what is written, by this or by somebody else.
    before = written.ok ? news.progress : asProgress(written.failed[0]?.item);
  }
}

/** Publishes progress that came too soon after the progress before it, unless something has been published since. */
export async function publishPendingProgress(deps: JobsDeps, tenantId: TenantId, jobId: JobId): Promise<void> {
  const before = await readProgress(deps.table, tenantId, jobId);
  const now = deps.clock.now();
  if (!before?.pending_progress_seq || !before.last_event) return;
  if (now.getTime() - before.progress_at < PROGRESS_EVERY_MS) return;
  const { pending_progress_seq: seq, ...known } = before;
  const key = progressKey(tenantId, jobId);
  const item = { ...known, ...key, last_event: seq, progress_at: now.getTime() };
  const event = progressEvent({ tenantId, jobId }, seq, { ...known, phase: known.phase, run: known.run }, now);
  const [eventRow] = eventItems(key.pk, [{ seq, event }], before.last_event, now);
  if (!eventRow) return;
  // If it is not written, somebody has published more by now.
  await deps.table.transact([
    { op: 'put', item, if: { last_seq: before.last_seq, last_event: before.last_event } },
    { op: 'put', item: eventRow },
  ]);
}

interface News {
  readonly progress: ProgressRecord;
  readonly events: readonly EventAt[];
}

/** An event, and the change that it is of: its cursor. */
interface EventAt {
  readonly seq: string;
  readonly event: JobEvent;
}

/** Events as the log stores them, in order, from the one that follows `lastBefore`. */
function eventItems(pk: string, events: readonly EventAt[], lastBefore: string | undefined, now: Date): Item[] {
  const sorted = [...events].sort((a, b) => (a.seq < b.seq ? -1 : 1));
  return sorted.map(({ seq, event }, at) => {
    const follows = sorted[at - 1]?.seq ?? (lastBefore || undefined);
    return eventItem(pk, event, { cursor: seq, follows, now });
  });
}

/** Undefined if there is nothing to count or to publish in these changes. */
function digest(
  ids: Pick<JobChanges, 'tenantId' | 'jobId'>,
  before: ProgressRecord | undefined,
  changes: readonly Change[],
  now: Date,
): News | undefined {
  const events: EventAt[] = [];
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
    if (events.length === MAX_STATES_AT_ONCE) break;
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
      events.push({ seq, event: stateEvent(job, change.before && asJob(change.before).state) });
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
    const counts = { completed, total, detail, phase, run, batch_id: batchId };
    events.push({ seq: lastTaskSeq, event: progressEvent(ids, lastTaskSeq, counts, now) });
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
      // What is older than the last event can't be published after it.
      ...(pendingSeq && pendingSeq > lastEvent ? { pending_progress_seq: pendingSeq } : {}),
    },
    events,
  };
}

function stateTime(job: JobRecord): string {
  return String((job as Item & JobRecord)[timestampOf(job.state)] ?? job.created_at);
}

function stateEvent(job: JobRecord, previous: JobState | undefined): JobEvent {
  const { tenant_id, job_id, workflow, state, attempt, batch_id, label, error } = job;
  const data = {
    job_id,
    workflow,
    state,
    ...(previous && previous !== 'creating' ? { previous } : {}),
    attempt,
    ...inBatch(batch_id),
    ...(label === undefined ? {} : { label }),
    ...(error ? { error } : {}),
  };
  // An attempt comes into each state once.
  const id = `${job_id}-${attempt}-${state}`;
  return { id, type: `job.${state}`, time: stateTime(job), tenant_id, data } as JobEvent;
}

function progressEvent(
  { tenantId, jobId }: Pick<JobChanges, 'tenantId' | 'jobId'>,
  seq: string,
  { batch_id, ...counted }: Parameters<typeof runningView>[0] & { readonly batch_id?: BatchId | undefined },
  now: Date,
): JobEvent {
  return {
    id: `${jobId}-${seq}`,
    type: 'job.progress',
    time: now.toISOString(),
    tenant_id: tenantId,
    data: { job_id: jobId, ...inBatch(batch_id), progress: runningView(counted, now) },
  };
}

function inBatch(batchId: BatchId | undefined): { readonly batch_id?: BatchId } {
  return batchId === undefined ? {} : { batch_id: batchId };
}
