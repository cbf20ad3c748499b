import { DomainError, type ErrorCode } from '../../contract/errors.ts';
import type { ObjectHead } from '../../platform/ports/object-store.ts';
import { readObject } from '../../platform/ports/read-object.ts';
import { tryCleanUp } from './clean-up.ts';
import type { UploadsDeps } from './deps.ts';
import { moveUpload } from './move-upload.ts';
import { digestParts, partCount, plannedParts } from './parts.ts';
import { fileIdOf, fileKey, fileListPk, multipartOf, type UploadRecord } from './records.ts';
import { contentFits, SNIFFED_BYTES } from './sniff.ts';

/** A completion that has lasted so long, while the object store has nothing to show for it, has lost its bytes. */
const OVERDUE_MS = 10 * 60_000;

/**
 * Brings a `completing` session to its end: the object, its verification, the file. Every step may have been done before,
 * or be done by another at the same time: whoever comes first to the last one counts. Answers the session afterwards,
 * `open` again if its parts are not those that it was to be completed of; undefined if another has moved it on.
 */
export async function carryThrough(deps: UploadsDeps, upload: UploadRecord): Promise<UploadRecord | undefined> {
  if ((await makeObject(deps, upload)) === 'refused') return moveUpload(deps, upload, 'reopen');
  const head = await deps.objects.head(upload.object_key);
  const isWhole = head?.sizeBytes === upload.size_bytes;
  const beginning = isWhole ? await readBeginning(deps, upload.object_key) : undefined;
  if (!head || !beginning) {
    // Not every S3 has the object appear, and whole, in the moment in which the parts go.
    if (!isOverdue(upload, deps.clock.now())) {
      throw new DomainError(
        'ServiceBusyError',
        'the object store shows neither the parts nor the object of this upload yet',
      );
    }
    return reject(deps, upload, 'PartsMissingError', 'the object store no longer has the bytes of this upload');
  }
  const { expected_checksum: expected } = upload;
  if (expected !== undefined && expected !== head.checksumCrc64Nvme) {
    const message = `the whole file has the checksum ${head.checksumCrc64Nvme}, but ${expected} was given`;
    return reject(deps, upload, 'ChecksumMismatchError', message);
  }
  if (!contentFits(upload.content_type, beginning)) {
    return reject(deps, upload, 'ContentMismatchError', `the content does not match the type ${upload.content_type}`);
  }
  return recordFile(deps, upload, head);
}

function isOverdue({ completing_at: since }: UploadRecord, now: Date): boolean {
  return since === undefined || now.getTime() - Date.parse(since) > OVERDUE_MS;
}

/** `refused`: the parts are not those that the completion began with. Otherwise there is an object, or no more parts. */
async function makeObject({ objects }: UploadsDeps, upload: UploadRecord): Promise<'done' | 'refused'> {
  const stored = await objects.listParts(multipartOf(upload));
  if (!stored) return 'done';
  const parts = plannedParts(upload, stored);
  if (digestParts(parts) !== upload.parts_digest) return 'refused';
  const outcome = await objects.completeMultipart({
    ...multipartOf(upload),
    sizeBytes: upload.size_bytes,
    parts,
    ...(upload.expected_checksum ? { checksumCrc64Nvme: upload.expected_checksum } : {}),
  });
  return outcome === 'bad_digest' ? 'refused' : 'done';
}

async function readBeginning({ objects }: UploadsDeps, key: string): Promise<Buffer | undefined> {
  try {
    return await readObject(objects, key, { start: 0, end: SNIFFED_BYTES });
  } catch (error) {
    if (error instanceof DomainError && error.code === 'FileNotFoundError') return undefined;
    throw error;
  }
}

/** The object never becomes a file. One of another type than declared is kept in quarantine until the session would expire. */
async function reject(
  deps: UploadsDeps,
  upload: UploadRecord,
  code: ErrorCode,
  message: string,
): Promise<UploadRecord | undefined> {
  const quarantine = code === 'ContentMismatchError';
  const rejected = await moveUpload(deps, upload, 'reject', {
    set: { rejected_at: deps.clock.now().toISOString(), error: { code, message } },
    ...(quarantine ? { due: new Date(upload.expires_at) } : {}),
  });
  if (rejected && !quarantine) await tryCleanUp(deps, rejected);
  return rejected;
}

/** One transaction makes the file and ends the session: the one without the other is never seen. */
async function recordFile(
  deps: UploadsDeps,
  upload: UploadRecord,
  head: ObjectHead,
): Promise<UploadRecord | undefined> {
  const { tenant_id, upload_id, name, size_bytes, content_type, object_key } = upload;
  const fileId = fileIdOf(upload_id);
  const now = deps.clock.now().toISOString();
  const item = {
    ...fileKey(tenant_id, fileId),
    g1pk: fileListPk(tenant_id),
    g1sk: fileId,
    tenant_id,
    file_id: fileId,
    upload_id,
    name,
    size_bytes,
    content_type,
    created_at: now,
    object_key,
    receipt: {
      size_bytes: head.sizeBytes,
      checksum_crc64nvme: head.checksumCrc64Nvme,
      parts: partCount(upload),
      part_size_bytes: upload.part_size_bytes,
      verified_at: now,
    },
  };
  return moveUpload(deps, upload, 'finish', { set: { completed_at: now, file_id: fileId }, put: { op: 'put', item } });
}
