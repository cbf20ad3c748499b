import { DEFAULT_PART_SIZE_BYTES, MAX_PART_SIZE_BYTES, MAX_PARTS } from './limits.ts';

/** The least power of two that is at least 8 MiB and needs no more than 10,000 parts for `sizeBytes`, but at most S3's 5 GiB. */
export function choosePartSize(sizeBytes: number): number {
  let partSize = DEFAULT_PART_SIZE_BYTES;
  while (partSize * MAX_PARTS < sizeBytes) partSize *= 2;
  return Math.min(partSize, MAX_PART_SIZE_BYTES);
}

/** How many parts of `partSizeBytes` a file of `sizeBytes` has; the last one may be shorter. */
export function countParts(sizeBytes: number, partSizeBytes: number): number {
  return Math.ceil(sizeBytes / partSizeBytes);
}

/** The bytes of part `partNumber` (from 1): `start` inclusive, `end` exclusive. */
export function partRange(
  sizeBytes: number,
  partSizeBytes: number,
  partNumber: number,
): { start: number; end: number } {
  const start = (partNumber - 1) * partSizeBytes;
  return { start, end: Math.min(start + partSizeBytes, sizeBytes) };
}
