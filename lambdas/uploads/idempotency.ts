import { createHash } from 'node:crypto';
import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { InitUpload } from '../../contract/uploads.ts';
import type { Write } from '../../platform/ports/table.ts';
import type { UploadsDeps } from './deps.ts';
import { idempotencyKey, readUpload, type UploadRecord } from './records.ts';

/** As the contract promises of `Idempotency-Key`. */
const IDEMPOTENCY_SECONDS = 7 * 24 * 3_600;

interface EarlierRequest {
  /** What it answered with. */
  readonly upload: UploadRecord | undefined;
  /** Makes the key this request's own, unless another comes first. */
  claim(uploadId: UploadId): Write;
}

/** What a request under the same key has done; `IdempotencyConflictError` if it was another request. */
export async function findRequest(
  { table, clock }: UploadsDeps,
  tenantId: TenantId,
  key: string,
  body: InitUpload,
): Promise<EarlierRequest> {
  const row = idempotencyKey(tenantId, key);
  const requestHash = hashOf(body);
  const nowSeconds = Math.floor(clock.now().getTime() / 1_000);
  const found = await table.get(row);
  const claim = (uploadId: UploadId): Write => ({
    op: 'put',
    item: { ...row, upload_id: uploadId, request_hash: requestHash, ttl: nowSeconds + IDEMPOTENCY_SECONDS },
    ...(found ? { if: { upload_id: String(found.upload_id) } } : { unlessExists: true }),
  });
  // Items outlive their ttl for a while.
  if (!found || Number(found.ttl) <= nowSeconds) return { upload: undefined, claim };
  if (found.request_hash !== requestHash) {
    throw new DomainError('IdempotencyConflictError', 'this idempotency key was used with another request', {
      upload_id: found.upload_id,
    });
  }
  return { upload: await readUpload(table, tenantId, String(found.upload_id)), claim };
}

/** The body has been parsed: its fields come in the order of its schema. */
function hashOf(body: InitUpload): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('base64url');
}
