import * as z from 'zod/mini';
import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { CreateJob, FileRef } from '../../contract/jobs.ts';
import { MAX_JOB_INPUT_BYTES } from '../../contract/limits.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import { type Item, MAX_TRANSACTION_WRITES } from '../../platform/ports/table.ts';
import { findRequest, nextTry } from '../runtime/idempotency.ts';
import { problemsOf, validationError } from '../runtime/validation.ts';
import type { JobsDeps } from './deps.ts';
import { createQueued, moveJob } from './move-job.ts';
import { type JobRecord, jobKey, jobListPk, readJob, stateIndex, timeOf } from './records.ts';
import { addTasks, jobSteps, putTasks, stepOrders, workflowSteps } from './tasks.ts';
import { runNumber, transactOnJobs } from './upgrade-row.ts';

interface CreateJobInput {
  readonly tenantId: TenantId;
  readonly body: CreateJob;
  readonly idempotencyKey?: string | undefined;
}

/** Answers with the job, and whether this call created it: a repeat under the same idempotency key doesn't. */
export async function createJob(
  deps: JobsDeps,
  { tenantId, body, idempotencyKey }: CreateJobInput,
  tries = 1,
): Promise<{ job: JobRecord; created: boolean }> {
  const request =
    idempotencyKey === undefined
      ? undefined
      : await findRequest(deps, { tenantId, key: idempotencyKey, body, idField: 'job_id' });
  const earlier = request?.id ? await readJob(deps.table, tenantId, request.id) : undefined;
  // The earlier request may have died on the way: this one goes on with it.
  if (earlier?.state === 'creating') return { job: await finishCreating(deps, earlier), created: false };
  if (earlier) return { job: earlier, created: false };

  const item = await newJob(deps, tenantId, body);
  const claim = request ? [request.claim(item.job_id)] : [];
  const queued = createQueued(deps, item);
  const planned = plannedTasks(item, definedNow(deps, item), new Date(item.created_at));
  const all = [...queued.writes, ...claim, ...putTasks(planned)];
  // A job of more tasks is in the making until it has them all.
  const atOnce = all.length <= MAX_TRANSACTION_WRITES;
  const result = await deps.table.transact(atOnce ? all : [{ op: 'put', item, unlessExists: true }, ...claim]);
  // Another request with the same key came first: the second look finds its job.
  if (!result.ok) return createJob(deps, { tenantId, body, idempotencyKey }, nextTry(tries));

  return { job: atOnce ? queued.created() : await finishCreating(deps, item), created: true };
}

/** A job as it is before it is queued: its input is checked, and its files are found. */
export async function newJob(deps: JobsDeps, tenantId: TenantId, body: CreateJob) {
  const entry = findEntry(deps, body.workflow);
  checkSize(body);
  const given = parseInput(entry, body.input);
  const input = entry.context === undefined ? given : await deps.completeInput(entry.context, tenantId, given);
  const files = await findFiles(deps, tenantId, entry, input);
  const jobId = `job_${deps.clock.newId()}` as JobId;
  const label = entry.labelField ? input[entry.labelField] : undefined;
  return {
    ...jobKey(tenantId, jobId),
    g1pk: jobListPk(tenantId),
    g1sk: jobId,
    ...stateIndex('creating', tenantId, jobId),
    tenant_id: tenantId,
    job_id: jobId,
    workflow: entry.name,
    state: 'creating',
    input: input as JobRecord['input'],
    files,
    planned_tasks: entry.plan(input).length,
    steps: workflowSteps(entry, input),
    attempt: 1,
    ...runNumber(1),
    interruptions: 0,
    retry_count: 0,
    max_retries: body.max_retries,
    created_at: timeOf(jobId).toISOString(),
    ...(typeof label === 'string' && { label }),
  } satisfies Item & JobRecord;
}

/**
 * Adds the tasks and queues the job, which is the commit point. Safe to repeat at any time by anyone, since the tasks'
 * ids follow from the input and those that are there are left alone.
 */
export async function finishCreating(deps: JobsDeps, job: JobRecord): Promise<JobRecord> {
  await addPlannedTasks(deps, job, new Date(job.created_at));
  const moved = await moveJob(deps, job, 'queue');
  if (moved.outcome === 'moved') return moved.job;
  return (await readJob(deps.table, job.tenant_id, job.job_id)) ?? job;
}

/** Adds what is not there yet of the tasks that the job's workflow plans; answers what the job is to keep of that. */
export async function addPlannedTasks(deps: JobsDeps, job: JobRecord, now: Date) {
  const { steps, ...planned } = plannedTasks(job, definedNow(deps, job), now);
  await addTasks(deps.table, planned);
  return { steps, planned_tasks: planned.tasks.length };
}

/** Adds the tasks, and to a running job the steps, that its workflow has gained. Safe to repeat. */
export async function addGainedSteps(deps: JobsDeps, job: JobRecord): Promise<void> {
  if (!job.steps) return;
  const defined = definedNow(deps, job);
  const gained = new Set(defined.steps.slice(job.steps.length));
  if (gained.size === 0) return;
  const { steps, ...planned } = plannedTasks(job, defined, deps.clock.now());
  await addTasks(deps.table, { ...planned, tasks: planned.tasks.filter(({ step }) => gained.has(step)) });
  const { tenant_id, job_id, attempt, run } = job;
  const key = jobKey(tenant_id, job_id);
  // If it has been cancelled since, its next attempt does the same.
  await transactOnJobs(deps.table, [{ op: 'update', key, if: { state: 'running', attempt, run }, set: { steps } }]);
}

/** What the job's workflow is now, which may have changed since the job was created. */
function definedNow(deps: JobsDeps, job: JobRecord) {
  const entry = findEntry(deps, job.workflow);
  const input = parseInput(entry, job.input);
  return { entry, input, steps: jobSteps(entry, job, input) };
}

function plannedTasks(job: JobRecord, { entry, input, steps }: ReturnType<typeof definedNow>, now: Date) {
  const { tenant_id: tenantId, job_id: jobId } = job;
  return { tenantId, jobId, steps, orderOf: stepOrders(steps), tasks: entry.plan(input), now };
}

function findEntry({ entries }: JobsDeps, name: string): WorkflowEntry {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry) return entry;
  const known = Object.keys(entries);
  throw new DomainError('WorkflowNotFoundError', `workflow ${name} does not exist; available: ${known.join(', ')}`, {
    workflows: known,
  });
}

function checkSize(body: CreateJob): void {
  const bytes = Buffer.byteLength(JSON.stringify(body.input));
  if (bytes > MAX_JOB_INPUT_BYTES) {
    throw new DomainError(
      'PayloadTooLargeError',
      `input has ${bytes} bytes; at most ${MAX_JOB_INPUT_BYTES} are allowed`,
    );
  }
}

function parseInput(entry: WorkflowEntry, input: CreateJob['input']): Record<string, unknown> {
  const parsed = z.object({ input: entry.input }).safeParse({ input });
  if (!parsed.success) throw validationError(problemsOf(parsed.error, 'input'));
  return parsed.data.input;
}

async function findFiles(
  deps: JobsDeps,
  tenantId: TenantId,
  entry: WorkflowEntry,
  input: Record<string, unknown>,
): Promise<Record<string, FileRef>> {
  const files: Record<string, FileRef> = {};
  for (const [field, fileId] of entry.files.flatMap((name) => fileIdsOf(name, input[name]))) {
    const file = await deps.findFile(tenantId, fileId);
    if (!file)
      throw new DomainError('FileNotFoundError', `input.${field}: the file does not exist`, {
        field: `input.${field}`,
      });
    files[field] = file;
  }
  return files;
}

/** Of a field that holds an array, the names are `field[0]`, `field[1]`, … */
function fileIdsOf(field: string, value: unknown): [string, string][] {
  if (Array.isArray(value)) return value.map((fileId, index) => [`${field}[${index}]`, String(fileId)]);
  return value === undefined ? [] : [[field, String(value)]];
}
