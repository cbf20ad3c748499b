import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Table } from '../../platform/ports/table.ts';

export interface UploadsDeps {
  readonly table: Table;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a request waits for a file that is being made. */
  readonly patienceMs?: number;
}
