import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { StoredPart } from '../../platform/ports/object-store.ts';
import type { UploadsDeps } from './deps.ts';
import { moveUpload } from './move-upload.ts';
import { plannedParts } from './parts.ts';
import { multipartOf, readUpload, type UploadRecord } from './records.ts';

/** `UploadNotFoundError` for another tenant's upload as for an unknown one. */
export async function findUpload(
  { table }: UploadsDeps,
  tenantId: TenantId,
  uploadId: UploadId,
): Promise<UploadRecord> {
  const upload = await readUpload(table, tenantId, uploadId);
  if (!upload) throw new DomainError('UploadNotFoundError', `there is no upload ${uploadId}`);
  return upload;
}

export async function findOpenUpload(deps: UploadsDeps, tenantId: TenantId, uploadId: UploadId): Promise<UploadRecord> {
  const upload = await findUpload(deps, tenantId, uploadId);
  if (upload.state !== 'open') throw notOpen(upload);
  return upload;
}

export function notOpen({ upload_id, state }: UploadRecord): DomainError {
  return new DomainError('UploadNotOpenError', `upload ${upload_id} is ${state}`, { state });
}

/** A session and what of it is in the object store: the parts that arrived as planned, or all of it as one object. */
export type Arrived =
  | { readonly upload: UploadRecord; readonly parts: readonly StoredPart[] }
  | { readonly upload: UploadRecord; readonly parts: 'object' | 'none' };

/** Looks at the parts of a session, and expires an open one whose parts somebody has deleted behind our back. */
export async function lookAtParts(deps: UploadsDeps, upload: UploadRecord): Promise<Arrived> {
  if (upload.state === 'completed') return { upload, parts: 'object' };
  if (upload.state !== 'open' && upload.state !== 'completing') return { upload, parts: 'none' };
  const stored = await deps.objects.listParts(multipartOf(upload));
  if (stored) return { upload, parts: plannedParts(upload, stored) };
  if (await deps.objects.head(upload.object_key)) return { upload, parts: 'object' };
  // It may have been completed, deleted or aborted since it was read.
  const now = await findUpload(deps, upload.tenant_id, upload.upload_id);
  if (now.state !== upload.state || now.completions !== upload.completions) return lookAtParts(deps, now);
  if (upload.state !== 'open') return { upload, parts: 'none' };
  deps.log.error('parts are gone', { tenant_id: upload.tenant_id, upload_id: upload.upload_id });
  const error = { code: 'UploadNotOpenError', message: 'the object store no longer has the parts of this upload' };
  const expired = await moveUpload(deps, upload, 'expire', { set: { error } });
  return expired
    ? { upload: expired, parts: 'none' }
    : lookAtParts(deps, await findUpload(deps, upload.tenant_id, upload.upload_id));
}
