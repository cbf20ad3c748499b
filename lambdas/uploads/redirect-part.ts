import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { UploadsDeps } from './deps.ts';
import { findOpenUpload } from './find-upload.ts';
import { checkPartsToSign, signPartUrls } from './parts.ts';

interface RedirectPartInput {
  readonly tenantId: TenantId;
  readonly uploadId: UploadId;
  /** As it stands in the path. */
  readonly partNumber: string;
  readonly checksum: string | undefined;
  readonly hasBodyBytes: boolean;
}

/** The URL to which one part's bytes go. */
export async function redirectPart(deps: UploadsDeps, input: RedirectPartInput): Promise<string> {
  const upload = await findOpenUpload(deps, input.tenantId, input.uploadId);
  if (!/^[1-9]\d{0,4}$/.test(input.partNumber)) {
    throw new DomainError('InvalidPartIndexError', 'a part number must be an integer of at least 1');
  }
  if (input.hasBodyBytes) {
    throw new DomainError(
      'BodyNotAcceptedError',
      'send this request without a body, and the bytes to the URL that it redirects to',
    );
  }
  const part = {
    part_number: Number(input.partNumber),
    ...(input.checksum ? { checksum_crc64nvme: input.checksum } : {}),
  };
  checkPartsToSign(upload, [part], 'checksum_crc64nvme');
  const [signed] = await signPartUrls(deps, upload, [part]);
  if (!signed) throw new Error('nothing was signed');
  return signed.url;
}
