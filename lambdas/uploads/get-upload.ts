import type { TenantId, UploadId } from '../../contract/common.ts';
import type { UploadWithParts } from '../../contract/uploads.ts';
import type { UploadsDeps } from './deps.ts';
import { type Arrived, findUpload, lookAtParts } from './find-upload.ts';
import { fullProgress, progressOf } from './parts.ts';
import { uploadWithProgress } from './views.ts';

/** A session and what of it has arrived, as the object store tells. */
export async function getUpload(
  deps: UploadsDeps,
  tenantId: TenantId,
  uploadId: UploadId,
  { includeParts }: { includeParts: boolean },
): Promise<UploadWithParts> {
  const arrived = await lookAtParts(deps, await findUpload(deps, tenantId, uploadId));
  const parts = typeof arrived.parts === 'string' ? [] : arrived.parts;
  return uploadWithProgress(arrived.upload, progressOfArrived(arrived), includeParts ? parts : undefined);
}

export function progressOfArrived({ upload, parts }: Arrived): UploadWithParts['progress'] {
  if (parts === 'all') return fullProgress(upload);
  return progressOf(upload, parts === 'none' ? [] : parts);
}
