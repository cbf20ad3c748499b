import { BatchId, JobId, type TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Logged } from '../../contract/event.ts';
import type { Event } from '../../contract/events.ts';
import type { Scope } from '../../contract/keys.ts';
import type { StateEntry, Topic } from '../../contract/live.ts';
import { readBatchStates, readJob, readJobEvents, readJobStates } from '../jobs/public.ts';
import { readUpload, readUploadEvents, readUploadStates } from '../uploads/public.ts';
import type { SocketDeps } from './deps.ts';

/** Jobs, and uploads, of a snapshot. */
const SNAPSHOT_SIZE = 500;
const PAGE = 100;

/** How what there is already is told of a topic: the events after a cursor, or the states as they are. */
type Source =
  | {
      readonly kind: 'events';
      /** Throws unless the tenant has it. */
      check(): Promise<void>;
      read(after: string | undefined): Promise<{ items: readonly Logged<Event>[]; ended: boolean }>;
    }
  | {
      readonly kind: 'states';
      /** Throws unless the tenant has it. */
      read(): Promise<{ items: readonly StateEntry[]; truncated: boolean }>;
    };

export function scopesOf(topic: Topic): readonly Scope[] {
  if (topic === 'tenant') return ['jobs:read', 'uploads:read'];
  return UploadId.safeParse(topic).success ? ['uploads:read'] : ['jobs:read'];
}

export function sourceOf({ jobs, uploads }: SocketDeps, tenantId: TenantId, topic: Topic): Source {
  const job = JobId.safeParse(topic).data;
  if (job) {
    return {
      kind: 'events',
      async check() {
        if (!(await readJob(jobs, tenantId, job)))
          throw new DomainError('JobNotFoundError', `job ${job} does not exist`);
      },
      read: (after) => readJobEvents(jobs, tenantId, job, { after, limit: PAGE }),
    };
  }
  const upload = UploadId.safeParse(topic).data;
  if (upload) {
    return {
      kind: 'events',
      async check() {
        if (await readUpload(uploads, tenantId, upload)) return;
        throw new DomainError('UploadNotFoundError', `upload ${upload} does not exist`);
      },
      read: (after) => readUploadEvents(uploads, tenantId, upload, { after, limit: PAGE }),
    };
  }
  const batchId = BatchId.safeParse(topic).data;
  return {
    kind: 'states',
    async read() {
      if (batchId) {
        const states = await readBatchStates(jobs, tenantId, batchId, SNAPSHOT_SIZE);
        if (!states) throw new DomainError('BatchNotFoundError', `batch ${batchId} does not exist`);
        return states;
      }
      const ofJobs = await readJobStates(jobs, tenantId, SNAPSHOT_SIZE);
      const ofUploads = await readUploadStates(uploads, tenantId, { limit: SNAPSHOT_SIZE });
      return { items: [...ofJobs.items, ...ofUploads.items], truncated: ofJobs.truncated || ofUploads.truncated };
    },
  };
}
