import type { TenantId, UploadId } from '../../contract/common.ts';
import { tryCleanUp } from './clean-up.ts';
import type { UploadsDeps } from './deps.ts';
import { findUpload, notOpen } from './find-upload.ts';
import { moveUpload } from './move-upload.ts';
import type { UploadRecord } from './records.ts';

/** Ends an open session; it stays aborted, whatever part arrives late. Fine if it is aborted already. */
export async function abortUpload(deps: UploadsDeps, tenantId: TenantId, uploadId: UploadId): Promise<UploadRecord> {
  const upload = await findUpload(deps, tenantId, uploadId);
  if (upload.state === 'aborted') return upload;
  if (upload.state !== 'open') throw notOpen(upload);
  const aborted = await moveUpload(deps, upload, 'abort');
  if (!aborted) return abortUpload(deps, tenantId, uploadId);
  await tryCleanUp(deps, aborted);
  return aborted;
}
