import type { BatchEvent } from '../../contract/events/jobs.ts';
import type { Change, Item } from '../../platform/ports/table.ts';
import { eventItem } from '../runtime/event-rows.ts';
import { batchView } from './batches.ts';
import { asBatch, batchKey } from './records.ts';

const BUSY_STATES = ['creating', 'running', 'cancelling'];

/**
 * The events of the batches that changed, as their logs store them: progress when its percent grew, and the end of the last
 * job. A change that comes again is the same event again. They name no event that they follow: a batch's watchers begin
 * with a snapshot.
 */
export function batchEventItems(changes: readonly Change[], now: Date): Item[] {
  const items = new Map<string, Item>();
  for (const change of changes) {
    const event = batchEvent(change, now);
    if (!event) continue;
    const { pk } = batchKey(event.tenant_id, event.data.batch_id);
    // Of progress that comes at once, the last says it all.
    items.set(`${pk} ${event.type}`, eventItem(pk, event, { cursor: change.seq, follows: undefined, now }));
  }
  return [...items.values()];
}

function batchEvent({ seq, key, before, after }: Change, now: Date): BatchEvent | undefined {
  if (key.sk !== 'BATCH' || !before || !after) return undefined;
  const { tenant_id } = asBatch(after);
  const was = batchView(asBatch(before));
  const { id: batch_id, state, total, completed, failed, cancelled, percent } = batchView(asBatch(after));
  const ended = !BUSY_STATES.includes(state) && BUSY_STATES.includes(was.state);
  if (!ended && percent <= was.percent) return undefined;
  return {
    id: `${batch_id}-${seq}`,
    type: ended ? 'batch.completed' : 'batch.progress',
    time: now.toISOString(),
    tenant_id,
    data: { batch_id, total, completed, failed, cancelled, percent },
  };
}
