import type { TenantId, UploadId } from '../../contract/common.ts';
import type { SignedPart, SignParts } from '../../contract/uploads.ts';
import type { UploadsDeps } from './deps.ts';
import { findOpenUpload } from './find-upload.ts';
import { checkPartsToSign, PARTS_FIELD, signPartUrls } from './parts.ts';

export async function signParts(
  deps: UploadsDeps,
  tenantId: TenantId,
  uploadId: UploadId,
  { parts, expires_in_seconds }: SignParts,
): Promise<SignedPart[]> {
  const upload = await findOpenUpload(deps, tenantId, uploadId);
  checkPartsToSign(upload, parts, PARTS_FIELD);
  return signPartUrls(deps, upload, parts, expires_in_seconds);
}
