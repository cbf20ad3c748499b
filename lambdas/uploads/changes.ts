import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import type { ChangeConsumer, Table } from '../../platform/ports/table.ts';
import { uploadEvent, uploadEventItem } from './events.ts';
import { asUpload } from './records.ts';

/** Adds every change of a session's state to its log. A change that comes again is the same event again. */
export function logUploadChanges({ table, clock, log }: { table: Table; clock: Clock; log: Log }): ChangeConsumer {
  return async (changes) => {
    const now = clock.now();
    const items = changes.flatMap((change) => {
      const event = uploadEvent(change, now);
      return event && change.after ? [uploadEventItem(event, asUpload(change.after), now)] : [];
    });
    if (items.length === 0) return undefined;
    await table.putAll(items);
    log.info('upload events stored', { events: items.length });
    return undefined;
  };
}
