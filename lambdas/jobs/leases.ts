import { DomainError } from '../../contract/errors.ts';
import type { TaskState } from '../../contract/jobs.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Key, Table, Value } from '../../platform/ports/table.ts';
import { asTask, type CheckpointRecord, type TaskRecord } from './records.ts';

/** A runner that has not been heard of for this long has lost its task to whoever claims it next. */
export const LEASE_MS = 60_000;

interface LeaseDeps {
  readonly table: Table;
  readonly clock: Clock;
}

export function hasLiveLease(task: TaskRecord, now: Date): boolean {
  return task.state === 'running' && task.lease_until > now.getTime();
}

type Claim =
  | { readonly outcome: 'claimed'; readonly checkpoint: CheckpointRecord | undefined }
  | { readonly outcome: 'completed'; readonly output: Value };

/**
 * Makes the runner the task's only one until its lease ends, or tells that the task is completed.
 * `TaskBusyError` if another has it.
 */
export async function claimTask(
  { table, clock }: LeaseDeps,
  key: Key,
  runnerId: string,
  jobAttempt: number,
): Promise<Claim> {
  const now = clock.now();
  const claimed = await table.write({
    op: 'update',
    key,
    // A task that doesn't run has a lease of 0.
    if: { state: ['pending', 'failed', 'cancelled', 'running'], lease_until: { lt: now.getTime() } },
    set: {
      state: 'running',
      runner: runnerId,
      lease_until: now.getTime() + LEASE_MS,
      job_attempt: jobAttempt,
      started_at: now.toISOString(),
    },
    add: { attempts: 1 },
    remove: ['ended_at', 'error', 'retry_after_seconds'],
  });
  if (!claimed.item) throw new Error(`${key.sk} is not in the ledger: plan it, or add it before it runs`);
  const task = asTask(claimed.item);
  const ours = { outcome: 'claimed', checkpoint: task.checkpoint } as const;
  if (claimed.ok) return ours;
  if (task.state === 'completed') return { outcome: 'completed', output: task.output ?? null };
  // The answer to our own claim was lost on the way.
  if (task.runner === runnerId) return ours;
  throw new DomainError('TaskBusyError', `another runner has task ${task.task_id}`, { task: task.task_id });
}

/** Answers until when; `LeaseLostError` if another runner has the task. */
export async function renewLease(
  { table, clock }: LeaseDeps,
  key: Key,
  runnerId: string,
  set: Readonly<Record<string, Value>> = {},
): Promise<number> {
  const leaseUntil = clock.now().getTime() + LEASE_MS;
  const renewed = await table.write({
    op: 'update',
    key,
    if: { runner: runnerId, state: 'running' },
    set: { ...set, lease_until: leaseUntil },
  });
  if (!renewed.ok) throw leaseLost(key);
  return leaseUntil;
}

/** The runner's last write: it counts even if the lease has lapsed or the job has ended, as long as nobody took over. */
export async function closeTask(
  { table, clock }: LeaseDeps,
  key: Key,
  runnerId: string,
  state: TaskState,
  set: Readonly<Record<string, Value>>,
): Promise<void> {
  const closed = await table.write({
    op: 'update',
    key,
    if: { runner: runnerId, state: 'running' },
    set: { ...set, state, lease_until: 0, ended_at: clock.now().toISOString() },
    // What is completed is never run again; others go on from it.
    ...(state === 'completed' ? { remove: ['checkpoint'] } : {}),
  });
  if (closed.ok) return;
  // Unless the answer to our own write was lost on the way.
  if (closed.item?.runner !== runnerId || closed.item.state !== state) throw leaseLost(key);
}

/** Gives a task back that waits: it stays running, and its next run can claim it at once. */
export async function restTask({ table }: LeaseDeps, key: Key, runnerId: string): Promise<void> {
  const rested = await table.write({
    op: 'update',
    key,
    if: { runner: runnerId, state: 'running' },
    set: { lease_until: 0 },
  });
  if (!rested.ok) throw leaseLost(key);
}

/** Has a runner that is known to be dead lose its task at once. */
export async function expireLease(table: Table, task: TaskRecord & Key): Promise<boolean> {
  const { pk, sk, runner } = task;
  if (runner === undefined) return false;
  const expired = await table.write({
    op: 'update',
    key: { pk, sk },
    if: { runner, state: 'running', lease_until: task.lease_until },
    set: { lease_until: 0 },
  });
  return expired.ok;
}

export function leaseLost(key: Key): DomainError {
  return new DomainError('LeaseLostError', `another runner has taken over ${key.sk}`);
}
