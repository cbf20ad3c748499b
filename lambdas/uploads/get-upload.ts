import type { TenantId, UploadId } from '../../contract/common.ts';
import type { UploadWithParts } from '../../contract/uploads.ts';
import type { UploadsDeps } from './deps.ts';
import { type Arrived, findUpload, PARTS_GONE, readArrived } from './find-upload.ts';
import { fullProgress, progressOf } from './parts.ts';
import { uploadWithProgress } from './views.ts';

/**
 * A session and what of it has arrived, as the object store has it. An open session whose parts are gone is shown as
 * `expired`; the next call that changes it stores that.
 */
export async function getUpload(
  deps: UploadsDeps,
  tenantId: TenantId,
  uploadId: UploadId,
  { includeParts }: { includeParts: boolean },
): Promise<UploadWithParts> {
  const arrived = await readArrived(deps, await findUpload(deps, tenantId, uploadId));
  const isGone = arrived.parts === 'gone';
  const upload = isGone ? { ...arrived.upload, state: 'expired' as const, error: PARTS_GONE } : arrived.upload;
  const parts = typeof arrived.parts === 'string' ? [] : arrived.parts;
  return uploadWithProgress(upload, progressOfArrived(arrived), includeParts ? parts : undefined);
}

export function progressOfArrived({ upload, parts }: Arrived): UploadWithParts['progress'] {
  if (parts === 'all') return fullProgress(upload);
  return progressOf(upload, typeof parts === 'string' ? [] : parts);
}
