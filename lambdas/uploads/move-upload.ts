import { ENDED_SESSION_SECONDS } from '../../contract/limits.ts';
import type { UploadState } from '../../contract/uploads.ts';
import type { Value, Write } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import type { UploadsDeps } from './deps.ts';
import { asUpload, dueIndex, type UploadRecord, uploadKey } from './records.ts';
import { hasEnded, nextState, type Transition } from './transitions.ts';
import { endSession } from './usage.ts';

/** Who completes a session, or cleans up after one, gets this long before the sweep takes it up. */
const GRACE_MS = 60_000;

interface Change {
  readonly set?: Readonly<Record<string, Value>>;
  /** Written in the same transaction, without conditions of its own. */
  readonly put?: Write & { readonly op: 'put' };
  /** When the sweep is to look at it, if not as its state says. */
  readonly due?: Date;
}

/**
 * Makes one transition of a session as it was read. Undefined, and nothing is written, if it is no longer as it was:
 * in another state, or completing another time.
 */
export async function moveUpload(
  { table, clock, log }: UploadsDeps,
  upload: UploadRecord,
  transition: Transition,
  change: Change = {},
): Promise<UploadRecord | undefined> {
  const { state, completions, tenant_id, upload_id } = upload;
  const to = nextState(state, transition);
  if (!to) return undefined;
  const due = to === 'completed' ? undefined : (change.due ?? dueOf(to, upload, clock.now()));
  const set: Record<string, Value> = { state: to, ...change.set };
  if (to === 'completing')
    Object.assign(set, { completions: completions + 1, completing_at: clock.now().toISOString() });
  if (due) Object.assign(set, dueIndex(upload_id, due));
  else set.ttl = ttlAfter(clock.now(), ENDED_SESSION_SECONDS);
  const remove = due ? [] : ['g2pk', 'g2sk'];
  if (to === 'open') remove.push('parts_digest', 'expected_checksum');
  const update: Write = { op: 'update', key: uploadKey(tenant_id, upload_id), if: { state, completions }, set, remove };
  const others = [...(change.put ? [change.put] : []), ...(hasEnded(to) ? [endSession(upload)] : [])];
  const result = others.length > 0 ? await table.transact([update, ...others]) : await table.write(update);
  if (!result.ok) return undefined;
  const kept = Object.entries(upload).filter(([name]) => !remove.includes(name));
  const moved = asUpload({ ...Object.fromEntries(kept), ...set } as Parameters<typeof asUpload>[0]);
  // Metrics and alarms are made of this line.
  log.info('upload moved', { tenant_id, upload_id, from: state, state: to, size_bytes: upload.size_bytes });
  return moved;
}

function dueOf(state: UploadState, upload: UploadRecord, now: Date): Date {
  return state === 'open' ? new Date(upload.expires_at) : new Date(now.getTime() + GRACE_MS);
}
