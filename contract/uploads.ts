import * as z from 'zod/mini';
import { UPLOAD_STATES } from './choices.ts';
import { Crc64Nvme, FileId, PartNumberRange, Timestamp, UploadId } from './common.ts';
import {
  DEFAULT_QUOTAS,
  MAX_NAME_BYTES,
  MAX_PART_SIZE_BYTES,
  MAX_PARTS,
  MAX_PARTS_PER_SIGN_CALL,
  MAX_URL_SECONDS,
  MIN_PART_SIZE_BYTES,
} from './limits.ts';

export const UploadState = z.enum(UPLOAD_STATES);
export type UploadState = z.infer<typeof UploadState>;

/**
 * `parts`: every part's CRC64NVME is signed into its URL, S3 checks each part and the whole at the end.
 * `whole`: plain part URLs; a checksum of the whole may be given at completion and is compared then.
 */
export const Integrity = z.enum(['parts', 'whole']);
export type Integrity = z.infer<typeof Integrity>;

const encoder = new TextEncoder();

/** A display name: 1–1,024 bytes, no path and no control characters. */
const FileName = z.string().check(
  z.minLength(1),
  z.refine(
    (name) => encoder.encode(name).length <= MAX_NAME_BYTES,
    `must have at most ${MAX_NAME_BYTES} bytes of UTF-8`,
  ),
  z.refine((name) => name.isWellFormed(), 'must be well-formed Unicode'),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  z.refine((name) => !/[\u0000-\u001f\u007f/\\]/.test(name), 'must not contain /, \\ or control characters'),
  z.refine((name) => name !== '.' && name !== '..', 'must not be a path'),
);

/** A media type such as `text/csv`, with optional parameters: what may stand in an HTTP header. */
const ContentType = z
  .string()
  .check(z.maxLength(255), z.regex(/^[\w.+-]+\/[\w.+-]+([ \t]*;[ \t]*[\w.+-]+=("[ !#-~]*"|[\w.+-]+))*$/));

/**
 * Identifies a file by its content cheaply: `<size>-<CRC64NVME of the first MiB, 16 hex>-<of the last MiB, 16 hex>`.
 * Equal fingerprints are a hint where to resume, never a proof: finished parts are compared by checksum.
 */
const Fingerprint = z.string().check(z.regex(/^\d{1,15}-[0-9a-f]{16}-[0-9a-f]{16}$/));

const PartNumber = z.int().check(z.minimum(1), z.maximum(MAX_PARTS));
const UrlSeconds = z.int().check(z.minimum(1), z.maximum(MAX_URL_SECONDS));

export const PartToSign = z.object({ part_number: PartNumber, checksum_crc64nvme: z.optional(Crc64Nvme) });
export type PartToSign = z.infer<typeof PartToSign>;
const PartsToSign = z.array(PartToSign).check(z.minLength(1), z.maxLength(MAX_PARTS_PER_SIGN_CALL));

/** Send the part's bytes with this URL and exactly these headers by PUT, before `expires_at`. */
export const SignedPart = z.object({
  part_number: PartNumber,
  size_bytes: z.int(),
  url: z.string(),
  headers: z.record(z.string(), z.string()),
  expires_at: Timestamp,
});
export type SignedPart = z.infer<typeof SignedPart>;

export const InitUpload = z.object({
  name: FileName,
  /** 1 byte to 48.8 TiB; outside of it `EmptyFileError` or `FileTooLargeError`. */
  size_bytes: z.int().check(z.minimum(0)),
  content_type: z._default(ContentType, 'application/octet-stream'),
  integrity: z._default(Integrity, 'whole'),
  /** 5 MiB – 5 GiB, and no more than 10,000 parts; the server picks one when it is left out. */
  part_size_bytes: z.optional(z.int().check(z.minimum(MIN_PART_SIZE_BYTES), z.maximum(MAX_PART_SIZE_BYTES))),
  fingerprint: z.optional(Fingerprint),
  /** Answer with the open session of the same `fingerprint`, if there is one. */
  resume: z._default(z.boolean(), false),
  /** Parts to sign in the same call; for `whole` sessions the first 16 are signed when this is left out. */
  parts: z.optional(PartsToSign),
  expires_in_seconds: z.optional(UrlSeconds),
});
export type InitUpload = z.infer<typeof InitUpload>;

export const SignParts = z.object({ parts: PartsToSign, expires_in_seconds: z.optional(UrlSeconds) });
export type SignParts = z.infer<typeof SignParts>;

export const CompleteUpload = z.object({
  /** CRC64NVME of the whole file. */
  checksum_crc64nvme: z.optional(Crc64Nvme),
  /** Checksums of single parts, compared with those that arrived. */
  parts: z.optional(
    z.array(z.object({ part_number: PartNumber, checksum_crc64nvme: Crc64Nvme })).check(z.maxLength(MAX_PARTS)),
  ),
});
export type CompleteUpload = z.infer<typeof CompleteUpload>;

export const Upload = z.object({
  id: UploadId,
  state: UploadState,
  name: z.string(),
  size_bytes: z.int(),
  content_type: z.string(),
  integrity: Integrity,
  part_size_bytes: z.int(),
  part_count: z.int(),
  fingerprint: z.optional(z.string()),
  created_at: Timestamp,
  expires_at: Timestamp,
  completed_at: z.optional(Timestamp),
  file_id: z.optional(FileId),
  error: z.optional(z.object({ code: z.string(), message: z.string() })),
});
export type Upload = z.infer<typeof Upload>;

export const ReceivedPart = z.object({
  part_number: PartNumber,
  size_bytes: z.int(),
  checksum_crc64nvme: z.optional(Crc64Nvme),
});
export type ReceivedPart = z.infer<typeof ReceivedPart>;

/** What has arrived, read from the object store: the truth about parts. */
export const UploadProgress = z.object({
  received_bytes: z.int(),
  received_parts: z.int(),
  /** 0–100, rounded down; 100 only when every part is there. */
  percent: z.int().check(z.minimum(0), z.maximum(100)),
  received: z.array(PartNumberRange),
  missing: z.array(PartNumberRange),
});

export const UploadWithParts = z.extend(Upload, {
  progress: UploadProgress,
  /** Only with `?include=parts`. */
  parts: z.optional(z.array(ReceivedPart)),
});
export type UploadWithParts = z.infer<typeof UploadWithParts>;

/** A completed upload. The receipt's checksum is the object store's own, of the whole object. */
export const File = z.object({
  id: FileId,
  upload_id: UploadId,
  name: z.string(),
  size_bytes: z.int(),
  content_type: z.string(),
  created_at: Timestamp,
  receipt: z.object({
    size_bytes: z.int(),
    checksum_crc64nvme: Crc64Nvme,
    parts: z.int(),
    part_size_bytes: z.int(),
    verified_at: Timestamp,
  }),
  /** Of a file that is deleted, and can be restored until then; its bytes count as stored for so long. */
  deleted_at: z.optional(Timestamp),
  restorable_until: z.optional(Timestamp),
});
export type File = z.infer<typeof File>;

/** A session of a listing; of one without activity, since when, and the bytes that it keeps in the object store. */
export const ListedUpload = z.extend(Upload, {
  /** When the last part arrived, or the session was opened. */
  last_activity_at: z.optional(Timestamp),
  received_bytes: z.optional(z.int()),
});
export type ListedUpload = z.infer<typeof ListedUpload>;

/** What sessions without activity keep in the object store, and what S3 Standard in us-east-1 takes for it. */
export const Orphaned = z.object({ sessions: z.int(), bytes: z.int(), usd_per_month: z.number() });
export type Orphaned = z.infer<typeof Orphaned>;

const quota = z.int().check(z.minimum(0));

/** Each tenant's limits; those left out are the defaults. Operators set them, see docs/uploads.md. */
export const Quotas = z.strictObject({
  stored_bytes: z._default(quota, DEFAULT_QUOTAS.stored_bytes),
  bytes_per_day: z._default(quota, DEFAULT_QUOTAS.bytes_per_day),
  open_sessions: z._default(quota, DEFAULT_QUOTAS.open_sessions),
});
export type Quotas = z.infer<typeof Quotas>;

/** What the tenant uses of its quotas. What would exceed one is refused with `QuotaExceededError`. */
export const Usage = z.object({
  /** Files and all of the bytes that sessions in progress declare, which are `reserved`; until they are deleted for good. */
  stored_bytes: z.object({ used: z.int(), reserved: z.int(), limit: z.int() }),
  /** Declared by the sessions opened since midnight UTC, however they ended. */
  bytes_per_day: z.object({ used: z.int(), limit: z.int(), resets_at: Timestamp }),
  /** Sessions that are `open` or `completing`. */
  open_sessions: z.object({ used: z.int(), limit: z.int() }),
});
export type Usage = z.infer<typeof Usage>;

export const Download = z.object({ url: z.string(), expires_at: Timestamp });
export type Download = z.infer<typeof Download>;
