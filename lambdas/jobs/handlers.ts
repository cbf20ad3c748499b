import type { Job } from '../../contract/jobs.ts';
import { DEFAULT_URL_SECONDS } from '../../contract/limits.ts';
import type { Handlers } from '../runtime/api.ts';
import { listNewest, nextCursor, pageQuery } from '../runtime/listing.ts';
import { batchView, cancelBatch, createBatch, getBatch, listBatchItems, readStats, retryBatch } from './batches.ts';
import { cancelJob, getJobRecord } from './cancel-job.ts';
import { createJob } from './create-job.ts';
import type { JobsDeps } from './deps.ts';
import { listEvents } from './list-events.ts';
import {
  artifactKey,
  asBatch,
  asJob,
  asTask,
  batchListPk,
  failedPk,
  idsBetween,
  type JobCheckpointRecord,
  type JobRecord,
  jobKey,
  jobListPk,
  readProgress,
} from './records.ts';
import { retryJob } from './retry-job.ts';
import { artifactView, checkpointView, jobView, readQueue, taskView } from './views.ts';

export type { JobsDeps };

export function createJobsHandlers(deps: JobsDeps): Handlers<'jobs'> {
  const readPlaces = async (jobs: readonly JobRecord[]) => {
    const queued = jobs.find(({ state }) => state === 'queued');
    return queued ? readQueue(deps.table, queued.tenant_id) : [];
  };
  const readCounted = async (job: JobRecord) =>
    job.final_counts ? undefined : readProgress(deps.table, job.tenant_id, job.job_id);
  const view = async (job: JobRecord, counted = readCounted(job), places = readPlaces([job])): Promise<Job> => {
    const [progress, queue] = await Promise.all([counted, places]);
    const checkpoints = deps.entries[job.workflow]?.checkpoints === true;
    return jobView(job, { progress, queue, now: deps.clock.now(), checkpoints });
  };
  return {
    async createJob({ caller, headers, body }) {
      const { tenantId } = caller;
      const { job, created } = await createJob(deps, { tenantId, body, idempotencyKey: headers['idempotency-key'] });
      return { status: created ? 201 : 200, body: await view(job) };
    },

    async listJobs({ caller, query }) {
      const { tenantId } = caller;
      const list =
        query.state === 'failed'
          ? ({ pk: failedPk(tenantId), index: 'g2' } as const)
          : ({ pk: jobListPk(tenantId), index: 'g1' } as const);
      const { items, next } = await listNewest(
        deps.table,
        { ...list, between: idsBetween(query), asked: query, parse: asJob },
        (job) =>
          (query.state === undefined || job.state === query.state) &&
          (query.workflow === undefined || job.workflow === query.workflow),
      );
      const places = readPlaces(items);
      const views = await Promise.all(items.map((job) => view(job, undefined, places)));
      return { status: 200, body: { items: views, ...next } };
    },

    async getJob({ caller, params }) {
      const { tenantId } = caller;
      const counted = readProgress(deps.table, tenantId, params.job_id);
      const [job] = await Promise.all([getJobRecord(deps, tenantId, params.job_id), counted]);
      return { status: 200, body: await view(job, counted) };
    },

    async cancelJob({ caller, params }) {
      const job = await cancelJob(deps, caller.tenantId, params.job_id);
      return { status: job.state === 'cancelled' ? 200 : 202, body: await view(job) };
    },

    async retryJob({ caller, params }) {
      return { status: 202, body: await view(await retryJob(deps, caller.tenantId, params.job_id)) };
    },

    async listTasks({ caller, params, query }) {
      const job = await getJobRecord(deps, caller.tenantId, params.job_id);
      const page = await deps.table.query({
        ...pageQuery(query),
        pk: jobKey(caller.tenantId, job.job_id).pk,
        prefix: 'TASK#',
      });
      const items = page.items.map((item) => taskView(asTask(item), job, deps.clock.now()));
      return { status: 200, body: { items, ...nextCursor(page) } };
    },

    async listJobEvents({ caller, params, query, signal }) {
      const job = await getJobRecord(deps, caller.tenantId, params.job_id);
      return { status: 200, body: await listEvents(deps, job, query, signal) };
    },

    async listCheckpoints({ caller, params, query }) {
      const job = await getJobRecord(deps, caller.tenantId, params.job_id);
      const { pk } = jobKey(caller.tenantId, job.job_id);
      const page = await deps.table.query({ ...pageQuery(query), pk, prefix: 'CHECKPOINT#' });
      const now = deps.clock.now();
      const items = page.items.map((item) => checkpointView(item as unknown as JobCheckpointRecord, now));
      return { status: 200, body: { items, ...nextCursor(page) } };
    },

    async listArtifacts({ caller, params, query }) {
      const job = await getJobRecord(deps, caller.tenantId, params.job_id);
      const { pk, sk: prefix } = artifactKey(caller.tenantId, job.job_id, '');
      const page = await deps.table.query({ ...pageQuery(query), pk, prefix });
      const sign = (key: string, fileName: string) =>
        deps.objects.signGet({ key, fileName, expiresInSeconds: DEFAULT_URL_SECONDS });
      const items = await Promise.all(page.items.map((item) => artifactView(item, job, sign)));
      return { status: 200, body: { items, ...nextCursor(page) } };
    },

    async createBatch({ caller, headers, body }) {
      const { tenantId } = caller;
      const { batch, created } = await createBatch(deps, {
        tenantId,
        body,
        idempotencyKey: headers['idempotency-key'],
      });
      return { status: created ? 201 : 200, body: batchView(batch) };
    },

    async listBatches({ caller, query }) {
      const list = { pk: batchListPk(caller.tenantId), asked: query, parse: asBatch };
      const { items, next } = await listNewest(deps.table, list);
      return { status: 200, body: { items: items.map(batchView), ...next } };
    },

    async getBatch({ caller, params }) {
      return { status: 200, body: batchView(await getBatch(deps, caller.tenantId, params.batch_id)) };
    },

    async listBatchItems({ caller, params, query }) {
      const batch = await getBatch(deps, caller.tenantId, params.batch_id);
      return { status: 200, body: await listBatchItems(deps, batch, query) };
    },

    async cancelBatch({ caller, params }) {
      return { status: 202, body: batchView(await cancelBatch(deps, caller.tenantId, params.batch_id)) };
    },

    async retryBatch({ caller, params }) {
      return { status: 202, body: batchView(await retryBatch(deps, caller.tenantId, params.batch_id)) };
    },

    async getStats({ caller, query }) {
      return { status: 200, body: { items: await readStats(deps, caller.tenantId, query.label) } };
    },

    async listWorkflows() {
      // 21 KB that the function loads only when it is asked for them.
      const { inputSchema } = await import('./input-schema.ts');
      const items = Object.values(deps.entries).map(({ name, description, input }) => ({
        name,
        description,
        input: inputSchema(input),
      }));
      return { status: 200, body: { items } };
    },
  };
}
