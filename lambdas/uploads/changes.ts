import type { BusEvent } from '../../contract/events.ts';
import type { Bus } from '../../platform/ports/bus.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { Change, ChangeConsumer } from '../../platform/ports/table.ts';
import { asUpload, UPLOAD_SK } from './records.ts';

/** Tells the bus of sessions that became files. A change that comes again is told under the same id. */
export function publishUploadChanges({ bus, log }: { bus: Bus; log: Log }): ChangeConsumer {
  return async (changes) => {
    const events = changes.flatMap(eventsOf);
    if (events.length > 0) {
      await bus.publish(events);
      log.info('uploads told', { events: events.length });
    }
    return undefined;
  };
}

function eventsOf({ key, before, after }: Change): BusEvent[] {
  if (key.sk !== UPLOAD_SK || after?.state !== 'completed' || before?.state === 'completed') return [];
  const { tenant_id, upload_id, file_id, size_bytes, completed_at, created_at } = asUpload(after);
  if (!file_id) return [];
  return [
    {
      id: `${upload_id}:completed`,
      tenant_id,
      time: completed_at ?? created_at,
      type: 'upload.completed',
      data: { upload_id, file_id, size_bytes },
    },
  ];
}
