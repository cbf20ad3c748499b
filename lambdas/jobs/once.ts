import type { Key, Value } from '../../platform/ports/table.ts';
import type { Guard, TaskDeps } from './guard-run.ts';
import { leaseLost } from './leases.ts';
import { asEffect, type EffectRecord, effectKey } from './records.ts';
import type { Effect, OnceOptions } from './task-api.ts';
import { checkResult } from './tasks.ts';

interface OnceRun {
  readonly taskKey: Key;
  readonly taskId: string;
  readonly jobId: string;
  readonly runnerId: string;
  readonly guard: Guard;
}

/** `ctx.once` of one run of a task. */
export function createOnce(deps: TaskDeps, run: OnceRun) {
  const going = new Map<string, Promise<Value>>();
  return <T extends Value>(name: string, effect: Effect<T>, options: OnceOptions<T> = {}): Promise<T> => {
    // Calls at the same time are one: the ledger could not tell them apart.
    const result = going.get(name) ?? doOnce(deps, run, name, effect, options).finally(() => going.delete(name));
    going.set(name, result);
    // What is kept under a name is what its effect has answered.
    return result as Promise<T>;
  };
}

async function doOnce(
  deps: TaskDeps,
  run: OnceRun,
  name: string,
  effect: Effect<Value>,
  { find }: OnceOptions<Value>,
): Promise<Value> {
  const { guard, jobId, taskId } = run;
  await guard.check();
  const begun = await begin(deps, run, name);
  if (begun.state === 'done') return JSON.parse(begun.json) as Value;
  const context = { idempotencyKey: `${jobId}:${taskId}:${name}`, signal: guard.signal };
  const result = await guard.during(async () => {
    const found = begun.again ? await find?.(context) : undefined;
    return found === undefined ? effect(context) : found;
  });
  // The commit point. A process that dies before it leaves an effect that has begun, and perhaps happened.
  const json = JSON.stringify(checkResult(`the result of ${name} in ${taskId}`, result));
  await record(deps, run, name, json);
  return JSON.parse(json) as Value;
}

type Begun =
  | { readonly state: 'done'; readonly json: string }
  /** `again`: an earlier run, or an earlier try of this one, may have done it. */
  | { readonly state: 'begun'; readonly again: boolean };

/** Makes the effect this runner's to do, unless it is done; only the holder of the task's lease can. */
async function begin({ table, clock }: TaskDeps, { taskKey, runnerId }: OnceRun, name: string): Promise<Begun> {
  const key = effectKey(taskKey, name);
  const lease = { op: 'check', key: taskKey, if: { runner: runnerId, state: 'running' } } as const;
  const mine = { state: 'begun', runner: runnerId, begun_at: clock.now().toISOString() };
  let earlier: EffectRecord | undefined;
  for (;;) {
    const claimed = await table.transact([
      lease,
      earlier
        ? { op: 'update', key, if: { state: 'begun', runner: earlier.runner }, set: mine }
        : { op: 'put', item: { ...key, ...mine }, unlessExists: true },
    ]);
    if (claimed.ok) return { state: 'begun', again: earlier !== undefined };
    if (claimed.failed.some(({ index }) => index === 0)) throw leaseLost(taskKey);
    const item = claimed.failed.find(({ index }) => index === 1)?.item;
    earlier = item && asEffect(item);
    if (earlier?.state === 'done') return earlier;
  }
}

/** It counts even if the lease has lapsed, as long as nobody else has taken the effect up: it has happened. */
async function record({ table, clock }: TaskDeps, run: OnceRun, name: string, json: string): Promise<void> {
  const { taskKey, runnerId } = run;
  const recorded = await table.write({
    op: 'update',
    key: effectKey(taskKey, name),
    if: { state: 'begun', runner: runnerId },
    set: { state: 'done', json, done_at: clock.now().toISOString() },
  });
  if (recorded.ok) return;
  const found = recorded.item && asEffect(recorded.item);
  // Unless the answer to our own write was lost on the way.
  if (found?.runner !== runnerId || found.state !== 'done') throw leaseLost(taskKey);
}
