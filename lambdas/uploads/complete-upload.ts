import { setTimeout } from 'node:timers/promises';
import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError, type ErrorCode } from '../../contract/errors.ts';
import type { CompleteUpload } from '../../contract/uploads.ts';
import type { StoredPart } from '../../platform/ports/object-store.ts';
import { validationError } from '../runtime/validation.ts';
import { carryThrough } from './carry-through.ts';
import type { UploadsApiDeps, UploadsDeps } from './deps.ts';
import { findUpload, notOpen, readArrivedOrExpire } from './find-upload.ts';
import { moveUpload } from './move-upload.ts';
import { checkPartNumbers, combineChecksums, digestParts, missingParts, partCount } from './parts.ts';
import { type FileRecord, readFile, type UploadRecord } from './records.ts';

/** How often a completion begins anew because others change the session or its parts meanwhile. */
const MAX_ROUNDS = 5;
/** Below API Gateway's 29 s. S3 may take minutes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
const PATIENCE_MS = 20_000;
/** For so long the call that has begun a completion is left alone with it; then others may do it, too. */
const HEAD_START_MS = 10_000;
const POLL_MS = 200;

/** Without a file: it is still being made, and the sweep sees to that. */
interface Completion {
  readonly upload: UploadRecord;
  readonly file?: FileRecord;
}

/**
 * Makes the file of a session whose parts are all there. Any number of calls, at the same time, again, or after a crash,
 * end in the same file. As long as the parts are at fault, the session stays open to mend them.
 */
export async function completeUpload(
  deps: UploadsApiDeps,
  tenantId: TenantId,
  uploadId: UploadId,
  body: CompleteUpload,
): Promise<Completion> {
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    let upload = await findUpload(deps, tenantId, uploadId);
    const begun = upload.state === 'open' ? await begin(deps, upload, body) : undefined;
    upload = begun ?? upload;
    if (upload.state === 'completing') {
      const settled = await settle(deps, upload, begun !== undefined);
      if (settled === 'late') return { upload };
      upload = settled ?? upload;
    }
    if (upload.state === 'completed') return { upload, file: await fileOf(deps, upload, body) };
    if (upload.state === 'rejected') throw rejection(upload);
    if (upload.state === 'aborted' || upload.state === 'expired') throw notOpen(upload);
  }
  throw new DomainError('ServiceBusyError', 'the parts of the upload keep changing while it is completed');
}

/** The commit point of what the caller asks for: from here on the file is made, by whoever gets to it. */
async function begin(deps: UploadsDeps, upload: UploadRecord, body: CompleteUpload): Promise<UploadRecord | undefined> {
  checkPartNumbers(
    upload,
    (body.parts ?? []).map(({ part_number }) => part_number),
  );
  if (body.parts && upload.integrity === 'whole') {
    throw validationError([
      { field: 'parts', problem: 'must be absent, because the integrity of this upload is whole' },
    ]);
  }
  const arrived = await readArrivedOrExpire(deps, upload);
  if (arrived.upload.state !== 'open') return undefined;
  // An object without a completion: one that had begun before the session was reopened made it after that.
  if (arrived.parts === 'all') return moveUpload(deps, upload, 'begin', { set: expected(body.checksum_crc64nvme) });
  const { parts } = arrived;
  if (typeof parts === 'string') return undefined;
  const combined = checkParts(upload, parts, body);
  const set = { parts_digest: digestParts(parts), ...expected(combined ?? body.checksum_crc64nvme) };
  return moveUpload(deps, upload, 'begin', { set });
}

const expected = (checksum: string | undefined): Record<string, string> =>
  checksum === undefined ? {} : { expected_checksum: checksum };

/** Throws unless the parts are all there and as the caller says; answers the checksum of the whole, if they tell it. */
function checkParts(upload: UploadRecord, parts: readonly StoredPart[], body: CompleteUpload): string | undefined {
  if (parts.length < partCount(upload)) {
    const missing = missingParts(upload, parts);
    const count = partCount(upload) - parts.length;
    throw new DomainError('PartsMissingError', `${count} of ${partCount(upload)} parts are missing`, { missing });
  }
  const stored = new Map(parts.map(({ partNumber, checksumCrc64Nvme }) => [partNumber, checksumCrc64Nvme]));
  const differing = (body.parts ?? [])
    .filter((part) => stored.get(part.part_number) !== part.checksum_crc64nvme)
    .map(({ part_number }) => part_number);
  if (differing.length > 0) {
    throw new DomainError('PartChecksumMismatchError', `${differing.length} parts do not match their checksums`, {
      part_numbers: differing,
    });
  }
  const combined = combineChecksums(parts);
  if (combined !== undefined) checkWhole(combined, body);
  return combined;
}

function checkWhole(actual: string, { checksum_crc64nvme: given }: CompleteUpload): void {
  if (given === undefined || given === actual) return;
  throw new DomainError('ChecksumMismatchError', `the whole file has the checksum ${actual}, but ${given} was given`, {
    checksum_crc64nvme: actual,
  });
}

/** The session afterwards; undefined if it has to be read again; `late` if that takes longer than a request may. */
async function settle(
  deps: UploadsApiDeps,
  upload: UploadRecord,
  isMine: boolean,
): Promise<UploadRecord | undefined | 'late'> {
  const deadline = performance.now() + (deps.patienceMs ?? PATIENCE_MS);
  while (!isMine && hasHeadStart(upload, deps.clock.now())) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return 'late';
    await setTimeout(Math.min(POLL_MS, leftMs));
    const now = await findUpload(deps, upload.tenant_id, upload.upload_id);
    if (now.state !== 'completing' || now.completions !== upload.completions) return now;
  }
  const carried = carryThrough(deps, upload);
  const patience = new AbortController();
  const late = setTimeout(deadline - performance.now(), 'late' as const, { signal: patience.signal });
  const first = await Promise.race([carried, late.catch(() => undefined)]).finally(() => patience.abort());
  if (first === 'late') {
    const { tenant_id, upload_id } = upload;
    carried.catch((error: unknown) => deps.log.error('upload not completed', { tenant_id, upload_id, error }));
  }
  return first;
}

function hasHeadStart({ completing_at: since }: UploadRecord, now: Date): boolean {
  return since !== undefined && now.getTime() - Date.parse(since) < HEAD_START_MS;
}

async function fileOf({ table }: UploadsDeps, upload: UploadRecord, body: CompleteUpload): Promise<FileRecord> {
  const file = await readFile(table, upload.tenant_id, String(upload.file_id));
  if (!file) {
    const { state } = upload;
    throw new DomainError('UploadNotOpenError', 'the upload was completed and its file has been deleted', { state });
  }
  checkWhole(file.receipt.checksum_crc64nvme, body);
  return file;
}

function rejection({ error, upload_id }: UploadRecord): DomainError {
  const code = (error?.code ?? 'UploadNotOpenError') as ErrorCode;
  return new DomainError(code, error?.message ?? `upload ${upload_id} was rejected`, { state: 'rejected' });
}
