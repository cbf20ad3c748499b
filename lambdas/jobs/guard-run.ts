import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Key, Table } from '../../platform/ports/table.ts';
import { LEASE_MS, renewLease } from './leases.ts';
import { type CheckpointRecord, type JobRecord, readJob } from './records.ts';

/** How often a task that sends heartbeats looks whether its job still runs. */
const POLL_MS = 1_000;
/** A lease is renewed when a third of it has passed. */
const RENEW_BELOW_MS = (LEASE_MS * 2) / 3;

export interface TaskDeps {
  readonly table: Table;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Opens what a context gives the tasks of its workflows, by the context's name. */
  services?(context: string): Promise<unknown>;
}

export interface TaskRuntime {
  /** Unique to this run: it owns the task's lease. */
  readonly runnerId: string;
  /** Aborted when the execution ends or, with a reason named `States.Timeout`, when the task's time is up. */
  readonly signal: AbortSignal;
  /** The run fails with `TaskTimeoutError` then; to be some seconds before the platform ends the process. */
  readonly deadline: Date;
}

/** The execution that is one run of a job's attempt. */
export interface ExecutionRef {
  readonly tenant_id: TenantId;
  readonly job_id: JobId;
  readonly attempt: number;
  readonly run: number;
}

export interface Guard {
  /** Aborted with the error that the run ends with. */
  readonly signal: AbortSignal;
  /** Rejects when the time is up, so that a task that heeds nothing is recorded before the platform kills it. */
  readonly timedOut: Promise<never>;
  /** Renews the lease and looks at the job when either is due; throws when the run is to end. */
  check(): Promise<void>;
  heartbeat(): Promise<void>;
  /** Does `work` with checks going on beside it, for work that can't send heartbeats itself. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Keeps a checkpoint by a write that renews the lease, too. */
  keep(checkpoint: CheckpointRecord): Promise<void>;
  longestComputingMs(): number;
  end(): void;
}

/** Watches over one run: its time, its lease, its job. */
export function guardRun(
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

  /** Has the signal tell, too, when the run has lost its right to go on. */
  const heed = async (look: () => Promise<void>) => {
    controller.signal.throwIfAborted();
    await look().catch((error: unknown) => {
      if (error instanceof DomainError && ENDS_A_RUN.has(error.code)) controller.abort(error);
      throw error;
    });
    controller.signal.throwIfAborted();
  };

  const check = () =>
    heed(async () => {
      const now = deps.clock.now().getTime();
      if (leaseUntil - now < RENEW_BELOW_MS) leaseUntil = await renewLease(deps, key, runnerId);
      if (now - polledAt >= POLL_MS) {
        polledAt = now;
        await readRunningJob(deps.table, execution);
      }
    });

  return {
    signal: controller.signal,
    timedOut,
    check,
    async heartbeat() {
      measureComputing();
      await setImmediate();
      await check();
    },
    async during(work) {
      const stop = () => clearInterval(checks);
      // What a check finds, the signal tells; one that fails otherwise is repeated. Work that goes on after its run, whose
      // lease is gone then, has no more of them.
      const checks = setInterval(() => void check().catch(() => controller.signal.aborted && stop()), POLL_MS);
      return work().finally(stop);
    },
    keep: (checkpoint) =>
      heed(async () => {
        leaseUntil = await renewLease(deps, key, runnerId, { checkpoint });
      }),
    longestComputingMs: () => longest,
    end() {
      measureComputing();
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

const ENDS_A_RUN: ReadonlySet<string> = new Set(['LeaseLostError', 'JobCancelledError', 'JobNotFoundError']);

/** `JobCancelledError` unless the job is running and this is the present run of its present attempt. */
export async function readRunningJob(
  table: Table,
  { tenant_id, job_id, attempt, run }: ExecutionRef,
): Promise<JobRecord> {
  const job = await readJob(table, tenant_id, job_id);
  if (!job) throw new DomainError('JobNotFoundError', `job ${job_id} does not exist`);
  if (job.state !== 'running' || job.attempt !== attempt || job.run !== run) throw cancelled();
  return job;
}

function timedOutBy(key: Key, deadline: Date): DomainError {
  return new DomainError('TaskTimeoutError', `${key.sk} did not end by ${deadline.toISOString()}`);
}

export function cancelled(): DomainError {
  return new DomainError('JobCancelledError', 'the job was cancelled, or continues in another execution');
}
