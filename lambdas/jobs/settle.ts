import * as z from 'zod/mini';
import { backoffMs } from '../../contract/backoff.ts';
import { TenantId } from '../../contract/common.ts';
import { isRetryable } from '../../contract/errors.ts';
import type { JobError } from '../../contract/jobs.ts';
import { MAX_CONTINUATION_BYTES, MAX_RETRY_DELAY_SECONDS, MAX_RUNS } from '../../contract/limits.ts';
import type { Value } from '../../platform/ports/table.ts';
import type { Execution, ExecutionEnded } from '../../platform/ports/workflows.ts';
import { cutText } from '../runtime/text.ts';
import type { JobsDeps } from './deps.ts';
import { dispatch, startExecution } from './dispatch.ts';
import { hasLiveLease } from './leases.ts';
import { moveJob, newAttempt } from './move-job.ts';
import { type Counts, type JobRecord, parseExecutionName, readJob } from './records.ts';
import { addMeasures, eachTask, workflowSteps } from './tasks.ts';
import { runNumber } from './upgrade-row.ts';

/** A job whose executions are aborted again and again, as by a task that takes the whole process down, fails. */
const MAX_INTERRUPTIONS = 20;
/** Whoever is outside may ask for a longer pause, up to a day. */
const MAX_RETRY_AFTER_SECONDS = 86_400;
/** The default of three automatic retries is due within this; a function that waits longer costs more than it is worth. */
const MAX_WAIT_MS = 5_000;
const MAX_MESSAGE_LENGTH = 2_000;

const ExecutionInput = z.object({ job: z.object({ tenant_id: TenantId }) });
/** What a machine ends with whose job goes on, and nothing else beside it: a next run's own input has `continued`. */
const Continuation = z.strictObject({ continue: z.json() });
/** What Lambda makes of a thrown error. */
const LambdaCause = z.object({ errorMessage: z.string() });

export interface SettleOptions {
  /** Where reconcile comes but once a minute: how to wait for an automatic retry that is due sooner, to start it then. */
  readonly sleep?: (ms: number) => Promise<void>;
}

/** Brings a job to its end, or to its next attempt or run, when its execution has ended. Safe to repeat. */
export function settleExecution(deps: JobsDeps, { sleep }: SettleOptions = {}): ExecutionEnded {
  return async ({ workflow, name }) => {
    const ref = parseExecutionName(name);
    const execution = ref && (await deps.workflows.describe({ workflow, name }));
    const input = ExecutionInput.safeParse(execution?.input);
    if (!ref || !execution || !input.success) {
      deps.log.warn('ended execution belongs to no job', { workflow, name });
      return;
    }
    const job = await readJob(deps.table, input.data.job.tenant_id, ref.job_id);
    if (job?.attempt !== ref.attempt || job.run !== ref.run) return;
    if ((await settleJob(deps, job, execution)) && sleep) await startWhenDue(deps, job, sleep);
  };
}

async function startWhenDue(deps: JobsDeps, settled: JobRecord, sleep: (ms: number) => Promise<void>): Promise<void> {
  const job = await readJob(deps.table, settled.tenant_id, settled.job_id);
  if (job?.state !== 'queued' || !job.due_at) return;
  const dueMs = Date.parse(job.due_at) - deps.clock.now().getTime();
  if (dueMs > MAX_WAIT_MS) return;
  // Timers may be a millisecond early.
  await sleep(Math.max(0, dueMs) + 1);
  await dispatch(deps, job.tenant_id);
}

/** `execution` is that of the job's present attempt and run. Answers whether the job has left its state. */
export async function settleJob(deps: JobsDeps, job: JobRecord, execution: Execution): Promise<boolean> {
  if (execution.state === 'running') return false;
  if (job.state === 'cancelling') return finishCancellation(deps, job);
  if (job.state !== 'running') return false;
  if (await settleRunning(deps, job, execution)) return true;
  // Cancelled since it was read: then this was the execution's end that the cancellation waits for.
  const now = await readJob(deps.table, job.tenant_id, job.job_id);
  return now?.state === 'cancelling' && finishCancellation(deps, now);
}

/** `cancelled` is told, and the slot freed, only when no runner can be at work any more. */
export async function finishCancellation(deps: JobsDeps, job: JobRecord): Promise<boolean> {
  if (job.state !== 'cancelling') return false;
  // A claim after this look sees that the job is being cancelled and gives the task back before it does anything.
  for await (const task of eachTask(deps.table, job.tenant_id, job.job_id)) {
    if (hasLiveLease(task, deps.clock.now())) return false;
  }
  const moved = await moveJob(deps, job, 'finish_cancel');
  return moved.outcome === 'moved';
}

async function settleRunning(deps: JobsDeps, job: JobRecord, execution: Execution): Promise<boolean> {
  if (execution.state === 'aborted') return resumeJob(deps, job);
  const continuation = Continuation.safeParse(execution.output);
  if (continuation.success) return continueJob(deps, job, JSON.stringify(continuation.data.continue));
  return endJob(deps, job, execution);
}

/** The execution was aborted, but not by a cancellation: by a restart, or by hand. */
async function resumeJob(deps: JobsDeps, job: JobRecord): Promise<boolean> {
  const interruptions = job.interruptions + 1;
  const from = job.checkpoint?.continued ?? job.continued;
  if (interruptions <= MAX_INTERRUPTIONS) {
    return startRun(deps, job, { ...(from !== undefined && { continued: from }), interruptions });
  }
  return failJob(deps, job, { code: 'InternalError', message: `the execution was aborted ${interruptions} times` });
}

/** The machine has ended before its history grew too long, and says where it goes on. */
async function continueJob(deps: JobsDeps, job: JobRecord, continued: string): Promise<boolean> {
  const refuse = (message: string) => failJob(deps, job, { code: 'InternalError', message });
  if (job.run >= MAX_RUNS) return refuse(`the state machine has not ended after ${MAX_RUNS} runs`);
  const bytes = Buffer.byteLength(continued);
  if (bytes > MAX_CONTINUATION_BYTES) {
    const allowed = `${MAX_CONTINUATION_BYTES}: store larger values as task outputs`;
    return refuse(`the state machine continues with ${bytes} bytes, more than ${allowed}`);
  }
  return startRun(deps, job, { continued, interruptions: 0 });
}

async function startRun(deps: JobsDeps, job: JobRecord, change: Readonly<Record<string, Value>>): Promise<boolean> {
  const moved = await moveJob(deps, job, 'continue', { set: { ...change, ...runNumber(job.run + 1) } });
  // Should the process die here, reconcile finds a running job without its execution.
  if (moved.outcome === 'moved') await startExecution(deps, moved.job);
  return moved.outcome === 'moved';
}

async function endJob(deps: JobsDeps, job: JobRecord, execution: Execution): Promise<boolean> {
  const ledger = await readLedger(deps, job);
  if (execution.state !== 'succeeded' || ledger.error) {
    return failJob(deps, job, ledger.error ?? executionError(execution), ledger.retryAfterSeconds);
  }
  const { left, counts } = ledger;
  const entry = deps.entries[job.workflow];
  // The definition may have changed since the job was created.
  const input = entry?.input.safeParse(job.input).data;
  const steps = left.length > 0 && entry && input ? workflowSteps(entry, input) : [];
  // Tasks that were not completed before their step left the workflow never will be.
  const total = counts.completed + left.filter((step) => steps.includes(step)).length;
  const moved = await moveJob(deps, job, 'complete', { set: { final_counts: { ...counts, total } } });
  return moved.outcome === 'moved';
}

async function failJob(deps: JobsDeps, job: JobRecord, error: JobError, retryAfterSeconds = 0): Promise<boolean> {
  const again = isRetryable(error.code) && job.retry_count < job.max_retries;
  const { set, remove } = newAttempt(job);
  const asked = Math.min(retryAfterSeconds, MAX_RETRY_AFTER_SECONDS) * 1_000;
  const backoff = { firstMs: deps.retryDelaySeconds * 1_000, longestMs: MAX_RETRY_DELAY_SECONDS * 1_000 };
  const pauseMs = Math.max(asked, backoffMs(job.retry_count + 1, backoff, deps.random));
  const due = deps.clock.now().getTime() + pauseMs;
  const retry = { ...set, error, retry_count: job.retry_count + 1, due_at: new Date(due).toISOString() };
  const moved = again
    ? await moveJob(deps, job, 'requeue', { set: retry, remove })
    : await moveJob(deps, job, 'fail', { set: { error } });
  return moved.outcome === 'moved';
}

interface Ledger {
  readonly error?: JobError;
  readonly retryAfterSeconds: number;
  /** The step of each task that is not completed. */
  readonly left: readonly string[];
  readonly counts: Omit<Counts, 'total'>;
}

/** What the tasks say: the first that failed in this attempt, and how many are done. */
async function readLedger(deps: JobsDeps, job: JobRecord): Promise<Ledger> {
  let error: JobError | undefined;
  let retryAfterSeconds = 0;
  let completed = 0;
  const left: string[] = [];
  const detail: Record<string, number> = {};
  for await (const task of eachTask(deps.table, job.tenant_id, job.job_id)) {
    if (task.state === 'completed') {
      completed += 1;
      addMeasures(detail, task);
      continue;
    }
    left.push(task.step);
    if (task.state === 'failed' && task.job_attempt === job.attempt && task.error) {
      error ??= { ...task.error, task: task.task_id };
      retryAfterSeconds = Math.max(retryAfterSeconds, task.retry_after_seconds ?? 0);
    }
  }
  return { ...(error ? { error } : {}), retryAfterSeconds, left, counts: { completed, detail } };
}

/** Of an execution that ended before any task could record why: a timeout, a lost process, a wrong definition. */
function executionError({ state, error }: Execution): JobError {
  if (!error)
    return {
      code: state === 'timed_out' ? 'States.Timeout' : 'States.Runtime',
      message: `the execution ${state.replace('_', ' ')}`,
    };
  return { code: error.name, message: cutText(causeMessage(error.cause), MAX_MESSAGE_LENGTH) };
}

function causeMessage(cause: string): string {
  try {
    const parsed = LambdaCause.safeParse(JSON.parse(cause));
    return parsed.success ? parsed.data.errorMessage : cause;
  } catch {
    return cause;
  }
}
