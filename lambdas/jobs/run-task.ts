import * as z from 'zod/mini';
import { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import type { Value } from '../../platform/ports/table.ts';
import { cutText } from '../runtime/text.ts';
import { type Checkpoints, openCheckpoints } from './checkpoints.ts';
import {
  cancelled,
  type ExecutionRef,
  type Guard,
  guardRun,
  readRunningJob,
  type TaskDeps,
  type TaskRuntime,
} from './guard-run.ts';
import { openJobCheckpoints } from './job-checkpoints.ts';
import { claimTask, closeTask, restTask } from './leases.ts';
import { createOnce } from './once.ts';
import { artifactKey, type JobRecord } from './records.ts';
import type { TaskContext, TaskDefinition, WaitDefinition } from './task-api.ts';
import { addTasks, addUp, checkResult, eachTask, jobSteps, readOutputs, stepOrders, taskId, taskKey } from './tasks.ts';
import { upgradeExecution } from './upgrade-row.ts';

/** The longest a task may compute without a heartbeat. */
const MAX_COMPUTING_MS = 500;
const MAX_MESSAGE_LENGTH = 2_000;
const MAX_REMEMBERED_JOBS = 100;
/** What a task names its own. */
const NAME = /^[a-z0-9._-]{1,128}$/;

const TaskPayload = z.object({
  job: z.pipe(
    z.transform(upgradeExecution),
    z.object({ tenant_id: TenantId, job_id: JobId, attempt: z.int(), run: z.int() }),
  ),
  item: z.optional(z.int().check(z.minimum(0))),
  /** Of a state that waits for it. */
  token: z.optional(z.string()),
});

type OrderOf = (step: string) => number;

/**
 * Runs a task of a job and keeps its result in the ledger; a completed task answers with the result it has.
 * What it throws has the error's code as its name, for the state machine's Retry and Catch.
 */
export type RunTask = (task: TaskDefinition | WaitDefinition, payload: unknown, runtime: TaskRuntime) => Promise<Value>;

/** Runs the tasks of a process: it remembers of its jobs what a claim needs to know of them. */
export function createTaskRunner(deps: TaskDeps): RunTask {
  const orders = new Map<string, OrderOf>();

  /** The job keeps its steps, and what its workflow has gained since comes behind them. */
  async function findOrder({ workflow }: TaskDefinition, execution: ExecutionRef): Promise<OrderOf> {
    const known = orders.get(execution.job_id);
    if (known) return known;
    const job = await readRunningJob(deps.table, execution);
    const orderOf = stepOrders(jobSteps(workflow, job, workflow.input.parse(job.input)));
    orders.set(job.job_id, orderOf);
    const oldest = orders.keys().next().value;
    if (orders.size > MAX_REMEMBERED_JOBS && oldest !== undefined) orders.delete(oldest);
    return orderOf;
  }

  return async (task, payload, runtime) => {
    const { job: execution, item, token } = TaskPayload.parse(payload);
    if (runtime.signal.aborted) throw cancelled();
    if ('wait' in task) return waitForAnswer(deps, task, execution, token);
    const orderOf = await findOrder(task, execution);
    return runTask(deps, { task, execution, item, orderOf, runtime });
  };
}

async function waitForAnswer(
  deps: TaskDeps,
  { workflow, wait }: WaitDefinition,
  execution: ExecutionRef,
  token: string | undefined,
): Promise<Value> {
  if (token === undefined) throw new Error(`a state of ${workflow.name} waits, but gives no token`);
  const { tenant_id: tenantId, job_id: jobId } = await readRunningJob(deps.table, execution);
  await wait({ tenantId, jobId, token, services: await servicesOf(deps, workflow) });
  return null;
}

async function servicesOf(deps: TaskDeps, { context }: WorkflowEntry): Promise<unknown> {
  return context === undefined ? undefined : deps.services?.(context);
}

interface TaskRun {
  readonly task: TaskDefinition;
  readonly execution: ExecutionRef;
  readonly item: number | undefined;
  readonly orderOf: OrderOf;
  readonly runtime: TaskRuntime;
}

async function runTask(deps: TaskDeps, { task, execution, item, orderOf, runtime }: TaskRun): Promise<Value> {
  const { tenant_id: tenantId, job_id: jobId } = execution;
  const { workflow, step } = task;
  const key = taskKey(tenantId, jobId, orderOf(step), step, item);
  const id = taskId(step, item);
  const claim = await claimTask(deps, key, runtime.runnerId, execution.attempt);
  if (claim.outcome === 'completed') return claim.output;

  const guard = guardRun(deps, execution, key, runtime);
  const counts: Record<string, number> = {};
  const gauges: Record<string, number> = {};
  const checkpoints = openCheckpoints(deps, {
    prefix: `${folderOf(execution)}/checkpoints/${id}/`,
    found: claim.checkpoint,
    keep: guard.keep,
  });
  const once = createOnce(deps, { taskKey: key, taskId: id, jobId, runnerId: runtime.runnerId, guard });
  const { deadline } = runtime;
  const fields = { tenant_id: tenantId, job_id: jobId, task: id, attempt: execution.attempt };
  try {
    // After the claim: what has ended or cancelled the job without a look at this lease is seen here, so none is missed.
    const job = await readRunningJob(deps.table, execution);
    const input = workflow.input.parse(job.input);
    const services = await servicesOf(deps, workflow);
    const run = { job, input, item, orderOf, services, guard, counts, gauges, once, checkpoints, deadline };
    const ctx = createContext(deps, run);
    const output = checkResult(`the output of ${id}`, await Promise.race([task.run(ctx), guard.timedOut]));
    await closeTask(deps, key, runtime.runnerId, 'completed', { output, counts, gauges });
    await checkpoints.clear();
    return output;
  } catch (thrown) {
    const error = toDomainError(guard.signal.aborted ? guard.signal.reason : thrown);
    if (error.code === 'LeaseLostError') throw error;
    if (error.code === 'TaskWaitingError') {
      await restTask(deps, key, runtime.runnerId);
      throw error;
    }
    if (error.code === 'InternalError')
      deps.log.error('task failed with an unexpected error', { ...fields, error: thrown });
    const state = error.code === 'JobCancelledError' ? 'cancelled' : 'failed';
    const { code, message, details } = error;
    const set: Record<string, Value> = { error: { code, message } };
    if (typeof details.retry_after_seconds === 'number') set.retry_after_seconds = details.retry_after_seconds;
    await closeTask(deps, key, runtime.runnerId, state, set);
    throw error;
  } finally {
    guard.end();
    if (guard.longestComputingMs() > MAX_COMPUTING_MS) {
      deps.log.error('task computed too long without a heartbeat', {
        ...fields,
        ms: Math.round(guard.longestComputingMs()),
      });
    }
  }
}

interface Run {
  readonly job: JobRecord;
  readonly input: Record<string, unknown>;
  readonly item: number | undefined;
  readonly orderOf: OrderOf;
  readonly services: unknown;
  readonly guard: Guard;
  readonly counts: Record<string, number>;
  readonly gauges: Record<string, number>;
  readonly once: TaskContext<unknown>['once'];
  readonly checkpoints: Checkpoints;
  readonly deadline: Date;
}

const folderOf = ({ tenant_id, job_id }: ExecutionRef) => `tenant/${tenant_id}/jobs/${job_id}`;

function createContext(
  deps: TaskDeps,
  { job, input, item, orderOf, services, guard, counts, gauges, once, checkpoints, deadline }: Run,
): TaskContext<unknown> {
  const { table, objects, clock } = deps;
  const { tenant_id: tenantId, job_id: jobId } = job;
  const folder = folderOf(job);
  return {
    tenantId,
    jobId,
    attempt: job.attempt,
    item,
    input,
    files: job.files,
    objects,
    services,
    signal: guard.signal,
    remaining: () => Math.max(0, deadline.getTime() - clock.now().getTime()),
    heartbeat: guard.heartbeat,
    count: (measures) => addUp(counts, measures),
    gauge: (measures) => void Object.assign(gauges, measures),
    async addTasks(tasks) {
      await guard.check();
      await addTasks(table, { tenantId, jobId, orderOf, tasks, now: clock.now() });
    },
    async outputs(step, items) {
      if (items) {
        await guard.check();
        return readOutputs(table, { tenantId, jobId, order: orderOf(step), step }, items);
      }
      const outputs: { item: number | undefined; output: Value }[] = [];
      for await (const done of eachTask(table, tenantId, jobId, orderOf(step))) {
        await guard.check();
        if (done.state === 'completed') outputs.push({ item: done.item, output: done.output ?? null });
      }
      return outputs;
    },
    async once(name, effect, options) {
      if (!NAME.test(name)) throw new Error(`${name} is not a name for an effect`);
      return once(name, effect, options);
    },
    checkpoint: checkpoints.save,
    lastCheckpoint: checkpoints.last,
    ...openJobCheckpoints(deps, job, folder, guard),
    async artifact({ name, body, contentType }) {
      if (!NAME.test(name)) throw new Error(`${name} is not a name for an artifact`);
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

/** An unknown error is a defect of the task; its message is its job's owner's to see. */
function toDomainError(thrown: unknown): DomainError {
  const message = cutText(thrown instanceof Error ? thrown.message : String(thrown), MAX_MESSAGE_LENGTH);
  if (!(thrown instanceof DomainError)) return new DomainError('InternalError', message, {}, { cause: thrown });
  if (message === thrown.message) return thrown;
  return new DomainError(thrown.code, message, thrown.details, { cause: thrown });
}
