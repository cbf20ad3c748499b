import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Quotas } from '../../contract/uploads.ts';
import type { Item, Write } from '../../platform/ports/table.ts';
import type { UploadsApiDeps } from './deps.ts';
import { quotasKey, usageKey } from './records.ts';

/**
 * What a tenant uses, as it is kept. It is changed only in the transactions that begin and end a session, and in those that
 * note that bytes are deleted: so it is always the sum over what there is.
 */
type UsageRecord = {
  /** Of files, and of sessions until their parts are deleted. */
  readonly stored_bytes: number;
  /** Of sessions in progress; they are in `stored_bytes`, too. */
  readonly reserved_bytes: number;
  readonly open_sessions: number;
  /** In UTC, such as `2026-01-31`. */
  readonly day: string;
  /** Of the sessions opened on that day. */
  readonly day_bytes: number;
};

export interface TenantUsage {
  readonly tenantId: TenantId;
  readonly quotas: Quotas;
  /** As it is today: with nothing yet of a day that has just begun. */
  readonly usage: UsageRecord;
  /** The day that the kept counter is of; undefined if no session was counted yet. */
  readonly keptDay: string | undefined;
  /** When the quota of the day begins anew. */
  readonly resetsAt: Date;
  readonly secondsToReset: number;
}

const DAY_MS = 24 * 3_600_000;
const NOTHING: UsageRecord = { stored_bytes: 0, reserved_bytes: 0, open_sessions: 0, day: '', day_bytes: 0 };

/** A tenant's quotas, and what it uses of them. */
export async function readUsage({ table, clock, quotas }: UploadsApiDeps, tenantId: TenantId): Promise<TenantUsage> {
  const [kept, own] = await Promise.all([table.get(usageKey(tenantId)), table.get(quotasKey(tenantId))]);
  const usage = kept ? usageOf(kept) : NOTHING;
  const now = clock.now();
  const today = now.toISOString().slice(0, 10);
  // A clock that is behind must not begin a day again that others have left.
  const isBehind = today < usage.day;
  const day = isBehind ? usage.day : today;
  const resetsAt = new Date(Date.parse(day) + DAY_MS);
  return {
    tenantId,
    quotas: own ? withOwn(quotas, own) : quotas,
    usage: { ...usage, day, day_bytes: usage.day === day ? usage.day_bytes : 0 },
    keptDay: usage.day || undefined,
    resetsAt,
    secondsToReset: Math.ceil((resetsAt.getTime() - now.getTime()) / 1_000),
  };
}

/** Sessions that began before there were counters, or before these were lost, end and are deleted nevertheless. */
function usageOf(kept: Item): UsageRecord {
  const record = { ...NOTHING, ...(kept as Partial<UsageRecord>) };
  const { stored_bytes, reserved_bytes, open_sessions } = record;
  return {
    ...record,
    stored_bytes: Math.max(0, stored_bytes),
    reserved_bytes: Math.max(0, reserved_bytes),
    open_sessions: Math.max(0, open_sessions),
  };
}

function withOwn(quotas: Quotas, own: Item): Quotas {
  const limits = Object.entries(own).filter(([name, limit]) => name in quotas && typeof limit === 'number');
  return { ...quotas, ...Object.fromEntries(limits) };
}

/** Throws `QuotaExceededError` if a session of so many bytes more would exceed one. */
export function checkQuotas({ usage, quotas, resetsAt, secondsToReset }: TenantUsage, sizeBytes: number): void {
  const stored = { quota: 'stored_bytes', limit: quotas.stored_bytes, used: usage.stored_bytes, asked: sizeBytes };
  if (stored.used + stored.asked > stored.limit) {
    throw exceeded(stored, 'delete files permanently or abort sessions');
  }
  const sessions = { quota: 'open_sessions', limit: quotas.open_sessions, used: usage.open_sessions, asked: 1 };
  if (sessions.used + sessions.asked > sessions.limit) throw exceeded(sessions, 'complete or abort sessions');
  const day = { quota: 'bytes_per_day', limit: quotas.bytes_per_day, used: usage.day_bytes, asked: sizeBytes };
  if (day.used + day.asked <= day.limit) return;
  if (day.asked > day.limit) throw exceeded(day, 'the file is larger than the daily quota');
  const resets_at = resetsAt.toISOString();
  throw exceeded(day, `try again after ${resets_at}`, { resets_at, retry_after_seconds: secondsToReset });
}

function exceeded(
  amounts: { readonly quota: string; readonly limit: number; readonly used: number; readonly asked: number },
  advice: string,
  frees: object = {},
): DomainError {
  const { quota, limit, used, asked } = amounts;
  return new DomainError(
    'QuotaExceededError',
    `the quota ${quota} would be exceeded: ${used} of ${limit} are used, and ${asked} more are needed; ${advice}`,
    { ...(quota === 'open_sessions' ? {} : { field: 'size_bytes' }), ...amounts, ...frees },
  );
}

/** Counts a new session; refused if by now it would exceed a quota, or another day has begun. */
export function beginSession({ tenantId, usage, quotas, keptDay }: TenantUsage, sizeBytes: number): Write {
  const key = usageKey(tenantId);
  const { day } = usage;
  const counts = { stored_bytes: sizeBytes, reserved_bytes: sizeBytes, open_sessions: 1 };
  const anew = { add: counts, set: { day, day_bytes: sizeBytes } };
  if (keptDay === undefined) return { op: 'update', key, upsert: true, if: { day: { absent: true } }, ...anew };
  const fits = {
    day: keptDay,
    stored_bytes: { lt: quotas.stored_bytes - sizeBytes + 1 },
    open_sessions: { lt: quotas.open_sessions },
  };
  if (keptDay !== day) return { op: 'update', key, if: fits, ...anew };
  return {
    op: 'update',
    key,
    if: { ...fits, day_bytes: { lt: quotas.bytes_per_day - sizeBytes + 1 } },
    add: { ...counts, day_bytes: sizeBytes },
  };
}

interface Sized {
  readonly tenant_id: TenantId;
  readonly size_bytes: number;
}

/** Takes note that a session is no longer in progress. Its bytes count on: as a file's, or until they are deleted. */
export function endSession({ tenant_id, size_bytes }: Sized): Write {
  return {
    op: 'update',
    key: usageKey(tenant_id),
    upsert: true,
    add: { open_sessions: -1, reserved_bytes: -size_bytes },
  };
}

/** Takes note that the bytes of a file, or of a session that ended without one, are deleted. */
export function freeBytes({ tenant_id, size_bytes }: Sized): Write {
  return { op: 'update', key: usageKey(tenant_id), upsert: true, add: { stored_bytes: -size_bytes } };
}
