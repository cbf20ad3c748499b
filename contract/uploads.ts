import * as z from 'zod';
import { Crc64Nvme, FileId, PartNumberRange, Timestamp, UploadId } from './common.ts';
import {
  MAX_NAME_BYTES,
  MAX_PART_SIZE_BYTES,
  MAX_PARTS,
  MAX_PARTS_PER_SIGN_CALL,
  MAX_URL_SECONDS,
  MIN_PART_SIZE_BYTES,
} from './limits.ts';

/**
 * The states of an upload session:
 *
 *     open ──► completing ──► completed
 *      │ └──────────┬─────► rejected     (the content is not what was declared)
 *      ├──► aborted └─────► open         (completion was refused; the parts are still there)
 *      └──► expired
 */
export const UPLOAD_STATES = ['open', 'completing', 'completed', 'aborted', 'expired', 'rejected'] as const;
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
const FileName = z
  .string()
  .min(1)
  .refine((name) => encoder.encode(name).length <= MAX_NAME_BYTES, `at most ${MAX_NAME_BYTES} bytes of UTF-8`)
  .refine((name) => name.isWellFormed(), 'well-formed Unicode')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  .refine((name) => !/[\u0000-\u001f\u007f/\\]/.test(name), 'no slashes, backslashes or control characters')
  .refine((name) => name !== '.' && name !== '..', 'not a path');

/** A media type such as `text/csv`, with optional parameters. */
const ContentType = z
  .string()
  .max(255)
  .regex(/^[\w.+-]+\/[\w.+-]+(\s*;\s*[\w.+-]+=("[^"\r\n]*"|[\w.+-]+))*$/);

/**
 * Identifies a file by its content cheaply: `<size>-<CRC64NVME of the first MiB, 16 hex>-<of the last MiB, 16 hex>`.
 * Equal fingerprints are a hint where to resume, never a proof: finished parts are compared by checksum.
 */
const Fingerprint = z.string().regex(/^\d{1,15}-[0-9a-f]{16}-[0-9a-f]{16}$/);

const PartNumber = z.int().min(1).max(MAX_PARTS);
const UrlSeconds = z.int().min(1).max(MAX_URL_SECONDS);

export const PartToSign = z.object({ part_number: PartNumber, checksum_crc64nvme: Crc64Nvme.optional() });
export type PartToSign = z.infer<typeof PartToSign>;
const PartsToSign = z.array(PartToSign).min(1).max(MAX_PARTS_PER_SIGN_CALL);

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
  size_bytes: z.int().min(0),
  content_type: ContentType.default('application/octet-stream'),
  integrity: Integrity.default('whole'),
  /** 5 MiB – 5 GiB, and no more than 10,000 parts; the server picks one when it is left out. */
  part_size_bytes: z.int().min(MIN_PART_SIZE_BYTES).max(MAX_PART_SIZE_BYTES).optional(),
  fingerprint: Fingerprint.optional(),
  /** Answer with the open session of the same `fingerprint`, if there is one. */
  resume: z.boolean().default(false),
  /** Parts to sign in the same call; for `whole` sessions the first 16 are signed when this is left out. */
  parts: PartsToSign.optional(),
  expires_in_seconds: UrlSeconds.optional(),
});
export type InitUpload = z.infer<typeof InitUpload>;

export const SignParts = z.object({ parts: PartsToSign, expires_in_seconds: UrlSeconds.optional() });
export type SignParts = z.infer<typeof SignParts>;

export const CompleteUpload = z.object({
  /** CRC64NVME of the whole file. */
  checksum_crc64nvme: Crc64Nvme.optional(),
  /** Checksums of single parts, compared with those that arrived. */
  parts: z
    .array(z.object({ part_number: PartNumber, checksum_crc64nvme: Crc64Nvme }))
    .max(MAX_PARTS)
    .optional(),
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
  fingerprint: z.string().optional(),
  created_at: Timestamp,
  expires_at: Timestamp,
  completed_at: Timestamp.optional(),
  file_id: FileId.optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Upload = z.infer<typeof Upload>;

export const ReceivedPart = z.object({
  part_number: PartNumber,
  size_bytes: z.int(),
  checksum_crc64nvme: Crc64Nvme.optional(),
});
export type ReceivedPart = z.infer<typeof ReceivedPart>;

/** What has arrived, read from the object store: the truth about parts. */
export const UploadProgress = z.object({
  received_bytes: z.int(),
  received_parts: z.int(),
  /** 0–100, rounded down; 100 only when every part is there. */
  percent: z.int().min(0).max(100),
  received: z.array(PartNumberRange),
  missing: z.array(PartNumberRange),
});

export const UploadWithParts = Upload.extend({
  progress: UploadProgress,
  /** Only with `?include=parts`. */
  parts: z.array(ReceivedPart).optional(),
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
});
export type File = z.infer<typeof File>;

export const Download = z.object({ url: z.string(), expires_at: Timestamp });
export type Download = z.infer<typeof Download>;
