import type { TenantId } from '../../contract/common.ts';
import type { FileRef } from '../../contract/jobs.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Table } from '../../platform/ports/table.ts';
import type { Workflows } from '../../platform/ports/workflows.ts';

export interface JobsDeps {
  readonly table: Table;
  readonly objects: ObjectStore;
  readonly workflows: Workflows;
  readonly clock: Clock;
  readonly log: Log;
  findFile(tenantId: TenantId, fileId: string): Promise<FileRef | undefined>;
  /** Has the context of a workflow complete the input of a job that is created; throws what its caller can fix. */
  completeInput(context: string, tenantId: TenantId, input: Record<string, unknown>): Promise<Record<string, unknown>>;
  readonly entries: Readonly<Record<string, WorkflowEntry>>;
  /** Does something a little later, where the process is still there then; reconcile does it where it is not. */
  later?(ms: number, run: () => Promise<void>): void;
  /** Jobs of one tenant that may run at the same time. */
  readonly runningLimit: number;
  /** The longest pause before a job's first automatic retry; it doubles with each further one, up to an hour. */
  readonly retryDelaySeconds: number;
  /** Draws the jitter of those pauses, from 0 to 1. */
  readonly random?: () => number;
}
