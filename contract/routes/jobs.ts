import * as z from 'zod/mini';
import { Batch, BatchItem, CreateBatch, LabelStats } from '../batches.ts';
import { BatchId, EventsQuery, JobId, PageQuery, pageOf } from '../common.ts';
import { context } from '../context.ts';
import { LoggedJobEvent } from '../events/jobs.ts';
import { Artifact, Checkpoint, CreateJob, Job, JobState, Task, Workflow } from '../jobs.ts';
import { idempotent, route } from './route.ts';

const jobParams = z.object({ job_id: JobId });
const batchParams = z.object({ batch_id: BatchId });
const Moment = z.iso.datetime({ offset: true, error: 'must be an RFC 3339 timestamp such as 2026-01-31T08:00:00Z' });
const ListJobsQuery = z
  .extend(PageQuery, {
    state: z.optional(JobState),
    workflow: z.optional(z.string().check(z.maxLength(64))),
    /** Those created at this moment or later: RFC 3339, of which milliseconds count. */
    created_after: z.optional(Moment),
    /** Those created before this moment, and not at it: ranges that meet share no job. */
    created_before: z.optional(Moment),
  })
  .check(
    z.refine(
      ({ created_after: after, created_before: before }) =>
        after === undefined || before === undefined || Date.parse(after) < Date.parse(before),
      { path: ['created_before'], error: 'must be later than created_after' },
    ),
  );

/** Jobs, batches and workflows. */
const jobsRoutes = {
  createJob: route({
    method: 'POST',
    path: '/jobs',
    summary: 'Create a job',
    auth: 'jobs:write',
    headers: idempotent,
    body: CreateJob,
    responses: { 201: Job, 200: Job },
    errors: ['WorkflowNotFoundError', 'FileNotFoundError', 'IdempotencyConflictError', 'PayloadTooLargeError'],
  }),
  listJobs: route({
    method: 'GET',
    path: '/jobs',
    summary: 'List jobs, newest first',
    auth: 'jobs:read',
    query: ListJobsQuery,
    responses: { 200: pageOf(Job) },
    errors: ['InvalidCursorError'],
  }),
  getJob: route({
    method: 'GET',
    path: '/jobs/{job_id}',
    summary: 'Get a job with its state and progress',
    auth: 'jobs:read',
    params: jobParams,
    responses: { 200: Job },
    errors: ['JobNotFoundError'],
  }),
  cancelJob: route({
    method: 'DELETE',
    path: '/jobs/{job_id}',
    summary: 'Cancel a job',
    auth: 'jobs:write',
    params: jobParams,
    responses: { 202: Job, 200: Job },
    errors: ['JobNotFoundError', 'JobNotCancellableError'],
  }),
  retryJob: route({
    method: 'POST',
    path: '/jobs/{job_id}/retry',
    summary: 'Retry a failed or cancelled job; completed tasks are skipped',
    auth: 'jobs:write',
    params: jobParams,
    responses: { 202: Job },
    errors: ['JobNotFoundError', 'JobNotRetryableError'],
  }),
  listTasks: route({
    method: 'GET',
    path: '/jobs/{job_id}/tasks',
    summary: "List a job's tasks, in order",
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Task) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  listJobEvents: route({
    method: 'GET',
    path: '/jobs/{job_id}/events',
    summary: "List a job's events after a cursor; can wait for one",
    auth: 'jobs:read',
    params: jobParams,
    query: EventsQuery,
    responses: { 200: z.object({ items: z.array(LoggedJobEvent), next_cursor: z.optional(z.string()) }) },
    errors: ['JobNotFoundError'],
  }),
  listCheckpoints: route({
    method: 'GET',
    path: '/jobs/{job_id}/checkpoints',
    summary: "List a job's checkpoints, oldest first",
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Checkpoint) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  listArtifacts: route({
    method: 'GET',
    path: '/jobs/{job_id}/artifacts',
    summary: "List a job's artifacts, with presigned URLs",
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Artifact) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  createBatch: route({
    method: 'POST',
    path: '/batches',
    summary: 'Create many jobs at once, from the request or from a file',
    auth: 'jobs:write',
    headers: idempotent,
    body: CreateBatch,
    responses: { 201: Batch, 200: Batch },
    errors: ['FileNotFoundError', 'InputDataError', 'IdempotencyConflictError', 'PayloadTooLargeError'],
  }),
  listBatches: route({
    method: 'GET',
    path: '/batches',
    summary: 'List batches, newest first',
    auth: 'jobs:read',
    query: PageQuery,
    responses: { 200: pageOf(Batch) },
    errors: ['InvalidCursorError'],
  }),
  getBatch: route({
    method: 'GET',
    path: '/batches/{batch_id}',
    summary: 'Get a batch with its state and counters',
    auth: 'jobs:read',
    params: batchParams,
    responses: { 200: Batch },
    errors: ['BatchNotFoundError'],
  }),
  listBatchItems: route({
    method: 'GET',
    path: '/batches/{batch_id}/items',
    summary: "List a batch's jobs, in order, with the errors of failed and rejected ones",
    auth: 'jobs:read',
    params: batchParams,
    query: z.extend(PageQuery, { state: z.optional(JobState) }),
    responses: { 200: pageOf(BatchItem) },
    errors: ['BatchNotFoundError', 'InvalidCursorError'],
  }),
  cancelBatch: route({
    method: 'DELETE',
    path: '/batches/{batch_id}',
    summary: 'Cancel all jobs of a batch that have not ended',
    auth: 'jobs:write',
    params: batchParams,
    responses: { 202: Batch },
    errors: ['BatchNotFoundError'],
  }),
  retryBatch: route({
    method: 'POST',
    path: '/batches/{batch_id}/retry',
    summary: 'Retry the failed jobs of a batch; completed tasks are skipped',
    auth: 'jobs:write',
    params: batchParams,
    responses: { 202: Batch },
    errors: ['BatchNotFoundError', 'BatchBusyError'],
  }),
  getStats: route({
    method: 'GET',
    path: '/stats',
    summary: "Count the tenant's jobs by label, such as a publication's marketplace, and state",
    auth: 'jobs:read',
    query: z.object({ label: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 200: z.object({ items: z.array(LabelStats) }) },
    errors: [],
  }),
  listWorkflows: route({
    method: 'GET',
    path: '/workflows',
    summary: 'List workflows and their input schemas',
    auth: 'jobs:read',
    responses: { 200: z.object({ items: z.array(Workflow) }) },
    errors: [],
  }),
} as const;

export const jobs = context({
  name: 'jobs',
  description: 'Jobs, which run a workflow on files, with their tasks, events and artifacts.',
  routes: jobsRoutes,
  api: { memoryMiB: 1_769 },
  table: {},
  feed: {
    description: 'Dispatches jobs, counts progress, publishes changes',
    prefixes: ['JOB', 'TASK#', 'BATCH'],
    memoryMiB: 1_024,
  },
  reads: ['uploads'],
  schedules: {
    reconcile: {
      description: 'Recovers jobs that lost their event, their execution or their runner',
      everySeconds: 60,
      // It bounds how long a job hangs that lost its thread or its event.
      embeddedEverySeconds: 2,
      memoryMiB: 1_024,
      timeoutSeconds: 300,
    },
  },
  settings: ['runningJobsPerTenant', 'retryDelaySeconds'],
});
