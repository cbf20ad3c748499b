import { createHash } from 'node:crypto';
import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Table, Write } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';

/** As the contract promises of `Idempotency-Key`. */
const IDEMPOTENCY_SECONDS = 7 * 24 * 3_600;
/** The second look at a key finds what the request that came first has made. */
const MAX_TRIES = 5;

interface IdempotentRequest {
  readonly tenantId: TenantId;
  readonly key: string;
  readonly body: object;
  /** The attribute, and the detail of the error, that names what the request made; each route's keys are its own. */
  readonly idField: 'upload_id' | 'job_id' | 'batch_id' | 'product_id';
}

interface EarlierRequest {
  /** What it made. */
  readonly id: string | undefined;
  /** Makes the key this request's own, unless another comes first. */
  claim(id: string): Write;
}

/** What a request under the same key has made; `IdempotencyConflictError` if it was another request. */
export async function findRequest(
  { table, clock }: { readonly table: Table; readonly clock: Clock },
  { tenantId, key, body, idField }: IdempotentRequest,
): Promise<EarlierRequest> {
  const row = { pk: `T#${tenantId}#K#${key}`, sk: `KEY#${idField}` };
  const requestHash = hashOf(body);
  const now = clock.now();
  const found = await table.get(row);
  const claim = (id: string): Write => ({
    op: 'put',
    item: { ...row, [idField]: id, request_hash: requestHash, ttl: ttlAfter(now, IDEMPOTENCY_SECONDS) },
    ...(found ? { if: { [idField]: String(found[idField]) } } : { unlessExists: true }),
  });
  // Items outlive their ttl for a while.
  if (!found || Number(found.ttl) * 1_000 <= now.getTime()) return { id: undefined, claim };
  if (found.request_hash !== requestHash) {
    throw new DomainError('IdempotencyConflictError', 'the idempotency key was already used for a different request', {
      [idField]: found[idField],
    });
  }
  return { id: String(found[idField]), claim };
}

/** The number of the try that follows one whose claim failed; `ServiceBusyError` when there were enough. */
export function nextTry(tries: number, maxTries = MAX_TRIES): number {
  if (tries < maxTries) return tries + 1;
  throw new DomainError('ServiceBusyError', 'too many concurrent requests; try again later');
}

/** Of the values, whatever the order of their names. */
function hashOf(body: object): string {
  const canonical = JSON.stringify(body, (_name, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(canonical).digest('base64url');
}
