import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { StoredPart } from '../../platform/ports/object-store.ts';
import type { UploadsDeps } from './deps.ts';
import { moveUpload } from './move-upload.ts';
import { plannedParts } from './parts.ts';
import { isForgotten, multipartOf, readUpload, type UploadRecord } from './records.ts';
import { hasEnded } from './transitions.ts';

/** `UploadNotFoundError` for another tenant's upload as for an unknown one. */
export async function findUpload(
  { table, clock }: UploadsDeps,
  tenantId: TenantId,
  uploadId: UploadId,
): Promise<UploadRecord> {
  const upload = await readUpload(table, tenantId, uploadId);
  if (!upload || isForgotten(upload, clock.now()))
    throw new DomainError('UploadNotFoundError', `upload ${uploadId} does not exist`);
  return upload;
}

export async function findOpenUpload(deps: UploadsDeps, tenantId: TenantId, uploadId: UploadId): Promise<UploadRecord> {
  const upload = await findUpload(deps, tenantId, uploadId);
  if (upload.state !== 'open') throw notOpen(upload);
  return upload;
}

export function notOpen({ upload_id, state, file_id }: UploadRecord): DomainError {
  const ofEnded = state === 'completed' ? `its file is ${file_id}` : 'open another session';
  const advice = hasEnded(state) ? ofEnded : 'read it until it has ended';
  return new DomainError('UploadNotOpenError', `upload ${upload_id} is ${state}; ${advice}`, { state });
}

/** What `GET /uploads/{id}` shows of a session whose parts are gone, and what is stored once it is expired for that. */
export const PARTS_GONE = {
  code: 'UploadNotOpenError',
  message: 'the object store no longer has the parts of this upload',
};

/**
 * A session and what of it has arrived: the parts as planned; all of them, though no longer as parts; none any more, as it
 * has ended; or `gone`: it is open, but somebody else has deleted its parts.
 */
export interface Arrived {
  readonly upload: UploadRecord;
  readonly parts: readonly StoredPart[] | 'all' | 'none' | 'gone';
}

/** Reads which parts of a session have arrived, and changes nothing. */
export async function readArrived(deps: UploadsDeps, upload: UploadRecord): Promise<Arrived> {
  const { state, tenant_id, upload_id, completions } = upload;
  if (state === 'completing' || state === 'completed') return { upload, parts: 'all' };
  if (state !== 'open') return { upload, parts: 'none' };
  const stored = await deps.objects.listParts(multipartOf(upload));
  if (stored) return { upload, parts: plannedParts(upload, stored) };
  if (await deps.objects.head(upload.object_key)) return { upload, parts: 'all' };
  // It may have been completed and deleted, or aborted, since it was read.
  const now = await findUpload(deps, tenant_id, upload_id);
  if (now.state !== state || now.completions !== completions) return readArrived(deps, now);
  return { upload: now, parts: 'gone' };
}

/** The same for a call that changes the session: one whose parts are gone is expired first. */
export async function readArrivedOrExpire(deps: UploadsDeps, upload: UploadRecord): Promise<Arrived> {
  const arrived = await readArrived(deps, upload);
  if (arrived.parts !== 'gone') return arrived;
  const { tenant_id, upload_id } = upload;
  deps.log.error('parts are missing from the object store', { tenant_id, upload_id });
  const expired = await moveUpload(deps, arrived.upload, 'expire', { set: { error: PARTS_GONE } });
  return readArrivedOrExpire(deps, expired ?? (await findUpload(deps, tenant_id, upload_id)));
}
