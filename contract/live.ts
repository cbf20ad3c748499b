import * as z from 'zod/mini';
import { BatchId, EventCursor, JobId, UploadId } from './common.ts';
import type { ErrorCode } from './errors.ts';
import type { Logged } from './event.ts';
import type { Event } from './events.ts';
import { JobState } from './jobs.ts';
import { UploadState } from './uploads.ts';

/** The subprotocol of the WebSocket; it is offered first and answered. */
export const LIVE_PROTOCOL = 'millrace.v1';
/**
 * Before the credential, in a second subprotocol that is offered and never answered: browsers can set no other header,
 * and a URL would be kept in logs.
 */
export const CREDENTIAL_PROTOCOL = 'bearer.';

/** Closes a connection whose time is over: come again, with a credential that is still good. */
export const CLOSE_EXPIRED = 4408;

export const Live = z.object({
  /** Such as `wss://…`; absent where there is no WebSocket: there, events are had by long poll. */
  websocket_url: z.optional(z.string()),
});
export type Live = z.infer<typeof Live>;

/** What a subscription is about: a job, an upload, a batch of jobs by its id, or all jobs and uploads of the tenant. */
export const Topic = z.union([JobId, UploadId, BatchId, z.literal('tenant')]);
export type Topic = z.infer<typeof Topic>;

/** What a client says, as JSON in a text message of at most 4 KiB. */
export const ClientMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('subscribe'),
    topic: Topic,
    /** Of a job or an upload: the cursor of the last event seen; from the beginning when left out. */
    after: z.optional(EventCursor),
  }),
  z.object({ type: z.literal('unsubscribe'), topic: Topic }),
  z.object({ type: z.literal('ping') }),
]);
export type ClientMessage = z.input<typeof ClientMessage>;

/** The state of a job or of an upload in a snapshot. */
export const StateEntry = z.union([
  z.object({ job_id: JobId, state: JobState, workflow: z.optional(z.string()), batch_id: z.optional(BatchId) }),
  z.object({ upload_id: UploadId, state: UploadState, name: z.string() }),
]);
export type StateEntry = z.infer<typeof StateEntry>;

/** What the server says, as JSON in a text message of at most 32 KB, which is one frame of API Gateway. */
export type ServerMessage =
  /**
   * Events of a topic, oldest first. Those of a job or an upload follow on the event with the cursor `after`, or are its
   * first: whoever hasn't seen that one asks again, by `subscribe` with the last cursor seen.
   */
  | {
      readonly type: 'events';
      readonly topic: string;
      readonly after?: string;
      readonly items: readonly Logged<Event>[];
    }
  /** Of a batch or the tenant, in one or more messages before `subscribed`. */
  | { readonly type: 'snapshot'; readonly topic: string; readonly items: readonly StateEntry[] }
  /**
   * What there was has been told, and changes follow. `ended`: the job or upload has ended, and nothing follows unless it
   * is retried. `truncated`: the snapshot has only the newest.
   */
  | { readonly type: 'subscribed'; readonly topic: string; readonly ended?: boolean; readonly truncated?: boolean }
  | { readonly type: 'unsubscribed'; readonly topic: string }
  | { readonly type: 'error'; readonly topic?: string; readonly error: ErrorCode; readonly message: string }
  | { readonly type: 'pong' };
