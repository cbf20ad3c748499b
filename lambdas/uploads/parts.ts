import { createHash } from 'node:crypto';
import type { PartNumberRange } from '../../contract/common.ts';
import { combineCrc64Nvme } from '../../contract/crc64nvme.ts';
import { DomainError } from '../../contract/errors.ts';
import { DEFAULT_URL_SECONDS } from '../../contract/limits.ts';
import { countParts, partRange } from '../../contract/part-plan.ts';
import type { PartToSign, SignedPart, UploadWithParts } from '../../contract/uploads.ts';
import type { StoredPart } from '../../platform/ports/object-store.ts';
import { validationError } from '../runtime/validation.ts';
import type { UploadsDeps } from './deps.ts';
import { multipartOf, type UploadRecord } from './records.ts';

/** The field of a request that lists parts to sign. */
export const PARTS_FIELD = 'parts[].checksum_crc64nvme';
/** Of a request's, enough to mend it by. */
const MAX_PROBLEMS = 100;

/** How a file is cut into parts, and whether each has a checksum. */
export type Plan = Pick<UploadRecord, 'size_bytes' | 'part_size_bytes' | 'integrity'>;

export function partCount({ size_bytes, part_size_bytes }: Plan): number {
  return countParts(size_bytes, part_size_bytes);
}

function partSize({ size_bytes, part_size_bytes }: Plan, partNumber: number): number {
  const { start, end } = partRange(size_bytes, part_size_bytes, partNumber);
  return end - start;
}

/** `InvalidPartIndexError` unless all are parts of this upload. */
export function checkPartNumbers(upload: Plan, partNumbers: readonly number[]): void {
  const count = partCount(upload);
  const wrong = partNumbers.filter(
    (partNumber) => !(Number.isInteger(partNumber) && partNumber >= 1 && partNumber <= count),
  );
  if (wrong.length === 0) return;
  throw new DomainError('InvalidPartIndexError', `this upload has parts 1 to ${count}, but not ${wrong[0]}`, {
    part_count: count,
    part_numbers: wrong,
  });
}

/**
 * Throws unless the parts, which `field` of the request names, can be signed: they are of this upload, and come with
 * their checksums if its integrity is `parts`, without if it is `whole`.
 */
export function checkPartsToSign(upload: Plan, parts: readonly PartToSign[], field: string): void {
  checkPartNumbers(
    upload,
    parts.map(({ part_number }) => part_number),
  );
  const needed = upload.integrity === 'parts';
  const problem = `${needed ? 'is required' : 'must be absent'}, because the integrity of this upload is ${upload.integrity}`;
  const problems = parts.flatMap(({ checksum_crc64nvme: checksum }, index) =>
    (checksum !== undefined) === needed ? [] : [{ field: field.replace('[]', `[${index}]`), problem }],
  );
  if (problems.length > 0) throw validationError(problems.slice(0, MAX_PROBLEMS));
}

/** Signs the URLs of parts that `checkPartsToSign` has let through. */
export async function signPartUrls(
  { objects }: UploadsDeps,
  upload: UploadRecord,
  parts: readonly PartToSign[],
  expiresInSeconds = DEFAULT_URL_SECONDS,
): Promise<SignedPart[]> {
  if (parts.length === 0) return [];
  const signed = await objects.signParts({
    ...multipartOf(upload),
    expiresInSeconds,
    parts: parts.map(({ part_number: partNumber, checksum_crc64nvme: checksumCrc64Nvme }) => ({
      partNumber,
      sizeBytes: partSize(upload, partNumber),
      ...(checksumCrc64Nvme ? { checksumCrc64Nvme } : {}),
    })),
  });
  return signed.map(({ partNumber, url, headers, expiresAt }) => ({
    part_number: partNumber,
    size_bytes: partSize(upload, partNumber),
    url,
    headers: { ...headers },
    expires_at: expiresAt.toISOString(),
  }));
}

/** The parts that arrived as planned, in order. Those of another number or size count as not sent. */
export function plannedParts(upload: UploadRecord, stored: readonly StoredPart[]): StoredPart[] {
  const count = partCount(upload);
  return stored.filter(
    ({ partNumber, sizeBytes }) => partNumber <= count && sizeBytes === partSize(upload, partNumber),
  );
}

export function missingParts(upload: UploadRecord, arrived: readonly StoredPart[]): PartNumberRange[] {
  const there = new Set(arrived.map(({ partNumber }) => partNumber));
  return rangesOf(allParts(upload).filter((partNumber) => !there.has(partNumber)));
}

export function progressOf(upload: UploadRecord, arrived: readonly StoredPart[]): UploadWithParts['progress'] {
  const bytes = arrived.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    received_bytes: bytes,
    received_parts: arrived.length,
    percent: Math.floor((100 * bytes) / upload.size_bytes),
    received: rangesOf(arrived.map(({ partNumber }) => partNumber)),
    missing: missingParts(upload, arrived),
  };
}

/** Of a session whose parts have become an object. */
export function fullProgress(upload: UploadRecord): UploadWithParts['progress'] {
  const count = partCount(upload);
  return {
    received_bytes: upload.size_bytes,
    received_parts: count,
    percent: 100,
    received: [{ first: 1, last: count }],
    missing: [],
  };
}

function allParts(upload: UploadRecord): number[] {
  return Array.from({ length: partCount(upload) }, (_, index) => index + 1);
}

function rangesOf(partNumbers: readonly number[]): PartNumberRange[] {
  const ranges: PartNumberRange[] = [];
  for (const partNumber of partNumbers) {
    const open = ranges.at(-1);
    if (open?.last === partNumber - 1) open.last = partNumber;
    else ranges.push({ first: partNumber, last: partNumber });
  }
  return ranges;
}

/** The CRC64NVME of the whole, if those of its parts are known. */
export function combineChecksums(parts: readonly StoredPart[]): string | undefined {
  const [first, ...rest] = parts;
  return rest.reduce<string | undefined>(
    (whole, part) =>
      whole !== undefined && part.checksumCrc64Nvme !== undefined
        ? combineCrc64Nvme(whole, part.checksumCrc64Nvme, part.sizeBytes)
        : undefined,
    first?.checksumCrc64Nvme,
  );
}

/** Tells whether any part was replaced: by its checksum, or where there is none by its ETag. */
export function digestParts(parts: readonly StoredPart[]): string {
  const hash = createHash('sha256');
  for (const { partNumber, sizeBytes, checksumCrc64Nvme, etag } of parts) {
    hash.update(`${partNumber} ${sizeBytes} ${checksumCrc64Nvme ?? etag}\n`);
  }
  return hash.digest('base64url');
}
