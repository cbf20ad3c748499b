import type { TenantId } from '../../contract/common.ts';
import { GIB, S3_USD_PER_GIB_MONTH } from '../../contract/limits.ts';
import type { Orphaned } from '../../contract/uploads.ts';
import { mapAtMost } from '../../platform/ports/map-at-most.ts';
import { listNewest } from '../runtime/listing.ts';
import type { UploadsDeps } from './deps.ts';
import { asUpload, multipartOf, type UploadRecord, uploadListPk } from './records.ts';

/** Sessions whose parts one call lists: each takes a request for every 1,000 parts, which must not last. */
const MAX_LOOKED_AT = 50;
export const AT_ONCE = 10;

export interface IdleUpload {
  readonly upload: UploadRecord;
  /** When the last part arrived, or the session was opened. */
  readonly lastActivity: Date;
  readonly receivedBytes: number;
}

/** A tenant's open sessions that no part has reached for `idleSeconds`. A page may be shorter than asked for, or empty. */
export async function listIdle(
  deps: UploadsDeps,
  tenantId: TenantId,
  { idleSeconds, limit, cursor }: { idleSeconds: number; limit: number; cursor?: string | undefined },
): Promise<{ items: IdleUpload[]; next: { next_cursor?: string } }> {
  const before = new Date(deps.clock.now().getTime() - idleSeconds * 1_000);
  const asked = { limit: Math.min(limit, MAX_LOOKED_AT), cursor };
  const isOld = ({ state, created_at }: UploadRecord) => state === 'open' && Date.parse(created_at) <= before.getTime();
  const list = { pk: uploadListPk(tenantId), asked, parse: asUpload };
  const { items, next } = await listNewest(deps.table, list, isOld);
  const found = await mapAtMost(AT_ONCE, items, (upload) => findIdle(deps, upload, before));
  return { items: found.filter((each) => each !== undefined), next };
}

/** What an open session has received, unless some of it arrived after `before`. */
export async function findIdle(
  { objects }: UploadsDeps,
  upload: UploadRecord,
  before: Date,
): Promise<IdleUpload | undefined> {
  // None: somebody ends it just now.
  const parts = await objects.listParts(multipartOf(upload));
  if (!parts) return undefined;
  const times = parts.map(({ lastModified }) => lastModified.getTime());
  const lastMs = times.reduce((latest, time) => Math.max(latest, time), Date.parse(upload.created_at));
  if (lastMs > before.getTime()) return undefined;
  const receivedBytes = parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { upload, lastActivity: new Date(lastMs), receivedBytes };
}

export function orphanedBy(idle: readonly IdleUpload[]): Orphaned {
  const bytes = idle.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  return orphaned(idle.length, bytes);
}

export function orphaned(sessions: number, bytes: number): Orphaned {
  const usd = (bytes / GIB) * S3_USD_PER_GIB_MONTH;
  // To a hundredth of a cent.
  return { sessions, bytes, usd_per_month: Math.round(usd * 1e4) / 1e4 };
}
