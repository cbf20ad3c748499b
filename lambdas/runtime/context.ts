import type { TenantId } from '../../contract/common.ts';
import type { Event } from '../../contract/events.ts';
import type { AnyRoute } from '../../contract/routes/route.ts';
import type { Context } from '../../contract/routes.ts';
import type { QueueConsumer } from '../../platform/ports/queue.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import type { Handlers } from './api.ts';
import type { Platform } from './platform.ts';

/** The routes of a context and what answers them. */
export interface ContextApi<C extends Context = Context> {
  readonly routes: Readonly<Record<string, AnyRoute>>;
  readonly handlers: Handlers<C>;
}

/** Runs once; the fields that it returns go to the log. */
export type ScheduleRun = () => Promise<Readonly<Record<string, unknown>> | undefined>;

/**
 * What `lambdas/<context>/context.ts` exports: a function for each part of the context, which opens the part on a platform.
 * They are exports of their own so that the bundler leaves out of a Lambda the parts that it does not run; the single
 * machine opens all of them.
 */
export interface ContextModule {
  readonly name: string;
  openApi?(platform: Platform): Promise<ContextApi>;
  /** Opens the consumer of the changes of the context's table. */
  openFeed?(platform: Platform): Promise<ChangeConsumer>;
  /** Opens the consumer of the events that the context subscribes to. */
  openConsumer?(platform: Platform): Promise<QueueConsumer<Event>>;
  /** By the names in the context's declaration. */
  readonly schedules?: Readonly<Record<string, (platform: Platform) => Promise<ScheduleRun>>>;
}

/** Completes the input of a job that is created; throws `DomainError` for what its caller can fix. */
export type CompleteInput = (
  tenantId: TenantId,
  input: Readonly<Record<string, unknown>>,
) => Promise<Record<string, unknown>>;

/**
 * What a context does for jobs of the workflows that name it as their context. It is in `hooks.ts` beside `context.ts`,
 * so that the functions of jobs get no other part of the context.
 */
export interface ContextHooks {
  readonly completeInput?: CompleteInput;
  /** What tasks find in `ctx.services`. */
  services?(): Promise<unknown>;
}
