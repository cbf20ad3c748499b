import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import * as z from 'zod/mini';
import { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { KIB, MAX_TASK_OUTPUT_BYTES } from '../../contract/limits.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Key, Table, Value } from '../../platform/ports/table.ts';
import { claimTask, closeTask, LEASE_MS, renewLease } from './leases.ts';
import { artifactKey, type JobRecord, readJob } from './records.ts';
import type { TaskContext, TaskDefinition } from './task-api.ts';
import { addTasks, addUp, eachTask, stepOrders, taskId, taskKey } from './tasks.ts';

/** How often a ticking task looks whether its job still runs. */
const POLL_MS = 1_000;
/** A lease is renewed when a third of it has passed. */
const RENEW_BELOW_MS = (LEASE_MS * 2) / 3;
/** The longest a task may compute without a tick. */
const MAX_COMPUTING_MS = 500;
const MAX_MESSAGE_LENGTH = 2_000;

const TaskPayload = z.object({
  job: z.object({ tenant_id: TenantId, job_id: JobId, attempt: z.int(), leg: z.int() }),
  item: z.optional(z.int().check(z.minimum(0))),
});
type ExecutionRef = z.infer<typeof TaskPayload>['job'];

export interface TaskDeps {
  readonly table: Table;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
}

export interface TaskRuntime {
  /** Unique to this run: it owns the task's lease. */
  readonly runnerId: string;
  /** Aborted when the execution ends or, with a reason named `States.Timeout`, when the task's time is up. */
  readonly signal: AbortSignal;
  /** The run fails with `TaskTimeoutError` then; to be some seconds before the platform ends the process. */
  readonly deadline: Date;
}

/**
 * Runs one task of a job and keeps its result in the ledger; a completed task answers with the result it has.
 * What it throws has the error's code as its name, for the state machine's Retry and Catch.
 */
export async function runTask(
  deps: TaskDeps,
  task: TaskDefinition,
  payload: unknown,
  runtime: TaskRuntime,
): Promise<Value> {
  const { job: execution, item } = TaskPayload.parse(payload);
  const { tenant_id: tenantId, job_id: jobId } = execution;
  const { workflow, step } = task;
  if (runtime.signal.aborted) throw cancelled();

  const job = await readRunningJob(deps.table, execution);
  const input = workflow.input.parse(job.input);
  const orderOf = stepOrders(workflow, input);
  const key = taskKey(tenantId, jobId, orderOf(step), step, item);
  const id = taskId(step, item);
  const claim = await claimTask(deps, key, runtime.runnerId, execution.attempt);
  if (claim.outcome === 'completed') return claim.output;

  const guard = guardRun(deps, execution, key, runtime);
  const counts: Record<string, number> = {};
  const ctx = createContext(deps, { job, input, item, orderOf, guard, counts, deadline: runtime.deadline });
  const fields = { tenant_id: tenantId, job_id: jobId, task: id, attempt: execution.attempt };
  try {
    // A cancellation that saw no lease before the claim is seen here: so none is missed.
    await readRunningJob(deps.table, execution);
    const output = checkOutput(id, await Promise.race([task.run(ctx), guard.timedOut]));
    await closeTask(deps, key, runtime.runnerId, 'completed', { output, counts });
    return output;
  } catch (thrown) {
    const error = toDomainError(guard.signal.aborted ? guard.signal.reason : thrown);
    if (error.code === 'LeaseLostError') throw error;
    if (error.code === 'InternalError') deps.log.error('task failed by a defect', { ...fields, error: thrown });
    const state = error.code === 'JobCancelledError' ? 'cancelled' : 'failed';
    const { code, message } = error;
    await closeTask(deps, key, runtime.runnerId, state, { error: { code, message } });
    throw error;
  } finally {
    guard.end();
    if (guard.longestComputingMs() > MAX_COMPUTING_MS) {
      deps.log.error('task computed too long without a tick', {
        ...fields,
        ms: Math.round(guard.longestComputingMs()),
      });
    }
  }
}

async function readRunningJob(table: Table, { tenant_id, job_id, attempt, leg }: ExecutionRef): Promise<JobRecord> {
  const job = await readJob(table, tenant_id, job_id);
  if (!job) throw new DomainError('JobNotFoundError', `there is no job ${job_id}`);
  if (job.state !== 'running' || job.attempt !== attempt || job.leg !== leg) throw cancelled();
  return job;
}

interface Guard {
  /** Aborted with the error that the run ends with. */
  readonly signal: AbortSignal;
  /** Rejects when the time is up, so that a task that heeds nothing is recorded before the platform kills it. */
  readonly timedOut: Promise<never>;
  /** Renews the lease and looks at the job when either is due; throws when the run is to end. */
  check(): Promise<void>;
  tick(): Promise<void>;
  longestComputingMs(): number;
  end(): void;
}

/** Watches over one run: its time, its lease, its job. */
function guardRun(
  deps: TaskDeps,
  execution: ExecutionRef,
  key: Key,
  { runnerId, signal, deadline }: TaskRuntime,
): Guard {
  const controller = new AbortController();
  const started = deps.clock.now().getTime();
  let leaseUntil = started + LEASE_MS;
  let polledAt = started;
  let loop = performance.eventLoopUtilization();
  let longest = 0;

  const onAbort = () => {
    const timeout = signal.reason instanceof Error && signal.reason.name === 'States.Timeout';
    controller.abort(timeout ? timedOutBy(key, deadline) : cancelled());
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  // Nobody listens when the run ends by itself.
  timedOut.catch(() => undefined);
  const timer = setTimeout(() => {
    const error = timedOutBy(key, deadline);
    controller.abort(error);
    reject(error);
  }, deadline.getTime() - started);

  const measureComputing = () => {
    const now = performance.eventLoopUtilization();
    longest = Math.max(longest, performance.eventLoopUtilization(now, loop).active);
    loop = now;
  };

  const check = async () => {
    controller.signal.throwIfAborted();
    const now = deps.clock.now().getTime();
    try {
      if (leaseUntil - now < RENEW_BELOW_MS) leaseUntil = await renewLease(deps, key, runnerId);
      if (now - polledAt >= POLL_MS) {
        polledAt = now;
        await readRunningJob(deps.table, execution);
      }
    } catch (error) {
      if (error instanceof DomainError && ENDS_A_RUN.has(error.code)) controller.abort(error);
      throw error;
    }
    controller.signal.throwIfAborted();
  };

  return {
    signal: controller.signal,
    timedOut,
    check,
    async tick() {
      measureComputing();
      await setImmediate();
      await check();
    },
    longestComputingMs: () => longest,
    end() {
      measureComputing();
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

const ENDS_A_RUN: ReadonlySet<string> = new Set(['LeaseLostError', 'JobCancelledError', 'JobNotFoundError']);

interface Run {
  readonly job: JobRecord;
  readonly input: Record<string, unknown>;
  readonly item: number | undefined;
  readonly orderOf: (step: string) => number;
  readonly guard: Guard;
  readonly counts: Record<string, number>;
  readonly deadline: Date;
}

function createContext(
  deps: TaskDeps,
  { job, input, item, orderOf, guard, counts, deadline }: Run,
): TaskContext<unknown> {
  const { table, objects, clock } = deps;
  const { tenant_id: tenantId, job_id: jobId } = job;
  const folder = `tenant/${tenantId}/jobs/${jobId}`;
  return {
    tenantId,
    jobId,
    attempt: job.attempt,
    item,
    input,
    files: job.files,
    objects,
    signal: guard.signal,
    remaining: () => Math.max(0, deadline.getTime() - clock.now().getTime()),
    tick: guard.tick,
    count: (measures) => addUp(counts, measures),
    async addTasks(tasks) {
      await guard.check();
      await addTasks(table, { tenantId, jobId, orderOf, tasks, now: clock.now() });
    },
    async outputs(step) {
      const outputs: { item: number | undefined; output: Value }[] = [];
      for await (const done of eachTask(table, tenantId, jobId, orderOf(step))) {
        await guard.check();
        if (done.state === 'completed') outputs.push({ item: done.item, output: done.output ?? null });
      }
      return outputs;
    },
    async artifact({ name, body, contentType }) {
      if (!/^[a-z0-9._-]{1,128}$/.test(name)) throw new Error(`${name} is not a name for an artifact`);
      await guard.check();
      const objectKey = `${folder}/artifacts/${name}`;
      await objects.put({ key: objectKey, body, contentType });
      await guard.check();
      const item = {
        ...artifactKey(tenantId, jobId, name),
        name,
        object_key: objectKey,
        size_bytes: body.byteLength,
        content_type: contentType,
        created_at: clock.now().toISOString(),
      };
      await table.write({ op: 'put', item });
    },
    scratchKey: (name) => `${folder}/scratch/${name}`,
  };
}

function checkOutput(id: string, output: Value | undefined): Value {
  const bytes = Buffer.byteLength(JSON.stringify(output ?? null));
  if (bytes <= MAX_TASK_OUTPUT_BYTES) return output ?? null;
  throw new DomainError(
    'InternalError',
    `the output of ${id} has ${bytes} bytes; above ${MAX_TASK_OUTPUT_BYTES / KIB} KiB it belongs in an artifact or a scratch object`,
  );
}

/** An unknown error is a defect of the task; its message is its job's owner's to see. */
function toDomainError(thrown: unknown): DomainError {
  const message = (thrown instanceof Error ? thrown.message : String(thrown)).slice(0, MAX_MESSAGE_LENGTH);
  if (thrown instanceof DomainError && message === thrown.message) return thrown;
  return new DomainError(thrown instanceof DomainError ? thrown.code : 'InternalError', message, {}, { cause: thrown });
}

function timedOutBy(key: Key, deadline: Date): DomainError {
  return new DomainError('TaskTimeoutError', `${key.sk} was not done by ${deadline.toISOString()}`);
}

function cancelled(): DomainError {
  return new DomainError('JobCancelledError', 'the job no longer runs this execution');
}
