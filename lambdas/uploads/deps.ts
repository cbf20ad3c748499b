import type { Quotas } from '../../contract/uploads.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Table } from '../../platform/ports/table.ts';

export interface UploadsDeps {
  readonly table: Table;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the API needs beside what the sweep does. */
export interface UploadsApiDeps extends UploadsDeps {
  /** Of every tenant that has none of its own. */
  readonly quotas: Quotas;
  /** For how long deleted files can be restored; 0: they can't. */
  readonly deletedFileDays: number;
  /** How long a request waits for a file that is being made. */
  readonly patienceMs?: number;
}
