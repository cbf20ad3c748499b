import type { TenantId, UploadId } from '../../contract/common.ts';
import { EVENT_LIFETIME_SECONDS } from '../../contract/limits.ts';
import type { UploadEvent } from '../../contract/uploads.ts';
import type { Change, Item, Key, Table } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import { longPoll } from '../runtime/long-poll.ts';
import { asUpload, readUpload, UPLOAD_SK, type UploadRecord, uploadKey } from './records.ts';
import { hasEnded } from './transitions.ts';

const CURSOR_DIGITS = 8;

const eventKey = (tenantId: TenantId, uploadId: UploadId, cursor: string): Key => ({
  pk: uploadKey(tenantId, uploadId).pk,
  sk: `EVENT#${cursor}`,
});

/**
 * The event that a change of a session's state is, as it is kept; undefined for other changes. A change that comes again
 * makes the same item again.
 */
export function uploadEventItem({ key, before, after }: Change, now: Date): Item | undefined {
  if (key.sk !== UPLOAD_SK || after === undefined || before?.state === after.state) return undefined;
  const upload = asUpload(after);
  const { tenant_id, upload_id, state, file_id, error } = upload;
  const revision = revisionOf(upload);
  return {
    ...eventKey(tenant_id, upload_id, cursorOf(revision)),
    ...(revision > 1 ? { follows: cursorOf(revision - 1) } : {}),
    type: 'upload.state_changed',
    time: timeOf(upload) ?? now.toISOString(),
    state,
    ...(before ? { previous: asUpload(before).state } : {}),
    ...(file_id ? { file_id } : {}),
    ...(error ? { error } : {}),
    ttl: ttlAfter(now, EVENT_LIFETIME_SECONDS),
  };
}

/** Which one a session's state is of all that it has had, from 1: told by the state and how often it began to complete. */
function revisionOf({ state, completions }: UploadRecord): number {
  if (state === 'completing') return 2 * completions;
  return 2 * completions + (state === 'aborted' || state === 'expired' ? 2 : 1);
}

const cursorOf = (revision: number) => String(revision).padStart(CURSOR_DIGITS, '0');

function timeOf({ state, completions, ...upload }: UploadRecord): string | undefined {
  if (state === 'open') return completions === 0 ? upload.created_at : undefined;
  if (state === 'completing') return upload.completing_at;
  return state === 'completed' ? upload.completed_at : upload.rejected_at;
}

export function uploadEventView(item: Item, uploadId: UploadId): UploadEvent {
  const cursor = item.sk.slice('EVENT#'.length);
  const { pk: _pk, sk: _sk, ttl: _ttl, follows: _follows, ...event } = item;
  return { cursor, upload_id: uploadId, ...event } as unknown as UploadEvent;
}

/** The events of a session after a cursor. `ended`: the session has ended, and these are the last. */
export async function readUploadEvents(
  table: Table,
  tenantId: TenantId,
  uploadId: UploadId,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ items: UploadEvent[]; ended: boolean }> {
  const { pk, sk: prefix } = eventKey(tenantId, uploadId, '');
  const upload = await readUpload(table, tenantId, uploadId);
  const position = after === undefined ? {} : { after: `${prefix}${after}` };
  const page = await table.query({ pk, prefix, limit, ...position });
  const items = page.items.map((item) => uploadEventView(item, uploadId));
  const last = items.at(-1)?.cursor ?? after;
  return { items, ended: upload !== undefined && hasEnded(upload.state) && last === cursorOf(revisionOf(upload)) };
}

/** A session's events after a cursor, with a long poll that ends early when it has ended and its last event is there. */
export function listUploadEvents(
  { table }: { table: Table },
  { tenant_id, upload_id }: UploadRecord,
  { after, wait_seconds: waitSeconds, limit }: { after?: string | undefined; wait_seconds: number; limit: number },
  signal?: AbortSignal,
) {
  const look = async () => {
    const { items, ended } = await readUploadEvents(table, tenant_id, upload_id, { after, limit });
    return { items, ended, cursor: items.at(-1)?.cursor ?? after };
  };
  return longPoll(look, { waitSeconds, signal });
}
