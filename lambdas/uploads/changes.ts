import type { BusEvent } from '../../contract/events.ts';
import type { Bus } from '../../platform/ports/bus.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { Change, ChangeConsumer, Table } from '../../platform/ports/table.ts';
import { uploadEventItem } from './events.ts';
import { asUpload, UPLOAD_SK } from './records.ts';

/**
 * Keeps every change of state as an event of its session, and tells the bus how completions ended. A change that comes
 * again is the same event again, under the same id.
 */
export function tellUploadChanges({
  table,
  bus,
  clock,
  log,
}: {
  table: Table;
  bus: Bus;
  clock: Clock;
  log: Log;
}): ChangeConsumer {
  return async (changes) => {
    const items = changes.map((change) => uploadEventItem(change, clock.now())).filter((item) => item !== undefined);
    if (items.length > 0) await table.putAll(items);
    const events = changes.map(eventOf).filter((event) => event !== undefined);
    if (events.length > 0) {
      await bus.publish(events);
      log.info('uploads told', { events: events.length });
    }
    return undefined;
  };
}

function eventOf({ key, before, after }: Change): BusEvent | undefined {
  if (key.sk !== UPLOAD_SK || after === undefined || before?.state === after.state) return undefined;
  const { state, tenant_id, upload_id, created_at, ...upload } = asUpload(after);
  const common = { id: `${upload_id}:${state}`, tenant_id };
  if (state === 'completed' && upload.file_id) {
    const { file_id, size_bytes, completed_at: time = created_at } = upload;
    return { ...common, time, type: 'upload.completed', data: { upload_id, file_id, size_bytes } };
  }
  if (state === 'rejected' && upload.error) {
    const { error, rejected_at: time = created_at } = upload;
    return { ...common, time, type: 'upload.rejected', data: { upload_id, error } };
  }
  return undefined;
}
