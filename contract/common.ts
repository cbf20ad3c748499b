import * as z from 'zod/mini';
import { DEFAULT_PAGE_SIZE, MAX_EVENT_WAIT_SECONDS, MAX_PAGE_SIZE } from './limits.ts';

/** The pattern of a ULID. */
export const ULID = '[0-9A-HJKMNP-TV-Z]{26}';

/** Ids are a prefix and a ULID: unique, and sorted by time of creation. */
export function idOf<Brand extends string>(prefix: string) {
  return z
    .string()
    .check(z.regex(new RegExp(`^${prefix}_${ULID}$`)))
    .brand<Brand>();
}

export const UploadId = idOf<'UploadId'>('upl');
export const FileId = idOf<'FileId'>('file');
export const JobId = idOf<'JobId'>('job');
export const BatchId = idOf<'BatchId'>('batch');
export const KeyId = idOf<'KeyId'>('key');
export const WebhookId = idOf<'WebhookId'>('wh');
export type UploadId = z.infer<typeof UploadId>;
export type FileId = z.infer<typeof FileId>;
export type JobId = z.infer<typeof JobId>;
export type BatchId = z.infer<typeof BatchId>;
export type KeyId = z.infer<typeof KeyId>;
export type WebhookId = z.infer<typeof WebhookId>;

/** A tenant: 1–64 of `a-z 0-9 - _`, starting with a letter or digit. It is part of every key and object name. */
export const TenantId = z
  .string()
  .check(z.regex(/^[a-z0-9][a-z0-9_-]{0,63}$/))
  .brand<'TenantId'>();
export type TenantId = z.infer<typeof TenantId>;

/** A moment as ISO 8601 in UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
export const Timestamp = z.iso.datetime();

/** CRC-64/NVME as S3 writes it: 8 bytes, big endian, in base64. */
export const Crc64Nvme = z.string().check(z.regex(/^[A-Za-z0-9+/]{11}=$/, 'must be base64 of 8 bytes'));

/** `Idempotency-Key`: 1–128 printable ASCII characters; kept for 7 days per tenant and route. */
export const IdempotencyKey = z.string().check(z.regex(/^[\x21-\x7e]{1,128}$/));

/** Query of every listing: newest first, `limit` items, `cursor` from the page before. */
export const PageQuery = z.object({
  limit: z._default(z.coerce.number().check(z.int(), z.minimum(1), z.maximum(MAX_PAGE_SIZE)), DEFAULT_PAGE_SIZE),
  cursor: z.optional(z.string().check(z.maxLength(2_048))),
});

/** A page of a listing; `next_cursor` is there when more may follow. */
export function pageOf<T extends z.ZodMiniType>(item: T) {
  return z.object({ items: z.array(item), next_cursor: z.optional(z.string()) });
}

/** Where to go on in the events of one job or upload: the cursor of the last event seen. Cursors compare as strings. */
export const EventCursor = z.string().check(z.maxLength(128), z.regex(/^[0-9]+$/));

/** Query of a listing of events: oldest first. */
export const EventsQuery = z.object({
  /** The cursor of the last event seen; from the beginning when left out. */
  after: z.optional(EventCursor),
  /** Seconds to wait for an event if there is none yet. */
  wait_seconds: z._default(z.coerce.number().check(z.int(), z.minimum(0), z.maximum(MAX_EVENT_WAIT_SECONDS)), 0),
  limit: z._default(z.coerce.number().check(z.int(), z.minimum(1), z.maximum(500)), 100),
});

/** An inclusive range of part numbers. */
export const PartNumberRange = z.object({ first: z.int(), last: z.int() });
export type PartNumberRange = z.infer<typeof PartNumberRange>;
