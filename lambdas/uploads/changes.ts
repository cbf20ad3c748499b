import type { Bus } from '../../platform/ports/bus.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ChangeConsumer, Table } from '../../platform/ports/table.ts';
import { uploadEvent, uploadEventItem } from './events.ts';
import { asUpload } from './records.ts';

/** Logs and publishes every change of a session's state. A change that comes again is the same event again. */
export function publishUploadChanges({
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
    const now = clock.now();
    const changed = changes.flatMap((change) => {
      const event = uploadEvent(change, now);
      return event && change.after ? [{ event, upload: asUpload(change.after) }] : [];
    });
    if (changed.length === 0) return undefined;
    await table.putAll(changed.map(({ event, upload }) => uploadEventItem(event, upload, now)));
    await bus.publish(changed.map(({ event }) => event));
    log.info('upload events published', { events: changed.length });
    return undefined;
  };
}
