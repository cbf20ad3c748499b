import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { Push } from '../../platform/ports/push.ts';
import type { Table } from '../../platform/ports/table.ts';

export interface LiveDeps {
  /** Who is connected, and what to. */
  readonly connections: Table;
  readonly push: Push;
  readonly clock: Clock;
  readonly log: Log;
}

/** What subscribing needs: it tells what there is already. */
export interface SocketDeps extends LiveDeps {
  readonly jobs: Table;
  readonly uploads: Table;
}
