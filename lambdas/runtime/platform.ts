import type * as z from 'zod/mini';
import type { Bus } from '../../platform/ports/bus.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Push } from '../../platform/ports/push.ts';
import type { Queue } from '../../platform/ports/queue.ts';
import type { Secrets } from '../../platform/ports/secrets.ts';
import type { Table } from '../../platform/ports/table.ts';
import type { Workflows } from '../../platform/ports/workflows.ts';

/**
 * Opens the ports that contexts work with. A port is loaded and opened when it is asked for first, so that a Lambda loads
 * only the adapters that it uses. Asked again, it is the same.
 */
export interface Platform {
  readonly clock: Clock;
  readonly log: Log;
  /** The table of a context, by the context's name. */
  table(context: string): Promise<Table>;
  /** The objects, for readers and writers that sign no URLs. */
  objects(): Promise<ObjectStore>;
  /** The objects, for who signs URLs, too. */
  signedObjects(): Promise<ObjectStore>;
  /** Where rules of users match events. It drops them on the single machine, which has no such rules. */
  bus(): Promise<Bus>;
  /** The types of events that each context consumes, by the context's name. */
  consumers(): Readonly<Record<string, readonly string[]>>;
  /** The queue of the events that a context consumes, by the context's name. */
  queue(context: string): Promise<Queue>;
  workflows(): Promise<Workflows>;
  secrets(): Promise<Secrets>;
  push(): Promise<Push>;
  /** Settings of the deployment, by their names in `settings` of the context's declaration. Throws if one is not valid. */
  settings<Shape extends z.core.$ZodShape>(shape: Shape): z.output<z.ZodMiniObject<Shape>>;
  /** The version of this deployment. */
  version(): string;
  /** Where clients connect by WebSocket; undefined where they can't. */
  webSocketUrl(): string | undefined;
  /** Whether the root secret is accepted here: its random part is the secret `ROOT_SECRET`. */
  readonly acceptsRootSecret: boolean;
  /** Runs something a little later, where the process is still there then. Undefined elsewhere: reconcile does it. */
  readonly later?: (ms: number, run: () => Promise<void>) => void;
  /** Whether a runner of tasks is alive, where runners share a process. Undefined elsewhere: leases tell it. */
  readonly isRunnerAlive?: (runnerId: string) => boolean;
}
