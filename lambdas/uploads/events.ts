import type { TenantId, UploadId } from '../../contract/common.ts';
import type { Logged } from '../../contract/event.ts';
import type { UploadEvent } from '../../contract/events/uploads.ts';
import type { Change, Item, Table } from '../../platform/ports/table.ts';
import { eventItem, eventKey, loggedEvent } from '../runtime/event-rows.ts';
import { longPoll } from '../runtime/long-poll.ts';
import { asUpload, readUpload, UPLOAD_SK, type UploadRecord, uploadKey } from './records.ts';
import { hasEnded } from './transitions.ts';

const CURSOR_DIGITS = 8;

/** The event that a change of a session's state is; undefined for other changes. The same change is the same event. */
export function uploadEvent({ key, before, after }: Change, now: Date): UploadEvent | undefined {
  if (key.sk !== UPLOAD_SK || after === undefined || before?.state === after.state) return undefined;
  const upload = asUpload(after);
  const { tenant_id, upload_id, state, size_bytes, file_id, error } = upload;
  const data = {
    upload_id,
    state,
    ...(before ? { previous: asUpload(before).state } : {}),
    size_bytes,
    ...(file_id ? { file_id } : {}),
    ...(error ? { error } : {}),
  };
  const name = state === 'open' ? 'opened' : state;
  return {
    id: `${upload_id}-${revisionOf(upload)}-${name}`,
    type: `upload.${name}`,
    time: timeOf(upload) ?? now.toISOString(),
    tenant_id,
    data,
  } as UploadEvent;
}

/** The row of a session's event in the log. */
export function uploadEventItem(event: UploadEvent, upload: UploadRecord, now: Date): Item {
  const revision = revisionOf(upload);
  const { pk } = uploadKey(upload.tenant_id, upload.upload_id);
  const follows = revision > 1 ? cursorOf(revision - 1) : undefined;
  return eventItem(pk, event, { cursor: cursorOf(revision), follows, now });
}

/** Which one a session's state is of all that it has had, from 1: it follows from the state and how often it began to complete. */
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

/** The events of a session after a cursor. `ended`: the session has ended, and these are the last. */
export async function readUploadEvents(
  table: Table,
  tenantId: TenantId,
  uploadId: UploadId,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ items: Logged<UploadEvent>[]; ended: boolean }> {
  const { pk, sk: prefix } = eventKey(uploadKey(tenantId, uploadId).pk, '');
  const upload = await readUpload(table, tenantId, uploadId);
  const position = after === undefined ? {} : { after: `${prefix}${after}` };
  const page = await table.query({ pk, prefix, limit, ...position });
  const items = page.items.map((item) => loggedEvent(item) as Logged<UploadEvent>);
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
