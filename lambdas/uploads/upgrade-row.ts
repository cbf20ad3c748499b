import type { Item } from '../../platform/ports/table.ts';
import { EVENT, upgradeEventRow } from '../runtime/old-event-rows.ts';

/** A row of the uploads' table as it is stored now. A row of data version 1 is brought into that form, any other returned as it is. */
export function upgradeRow(item: Item): Item {
  return item.sk.startsWith(EVENT) ? upgradeEventRow(item) : item;
}
