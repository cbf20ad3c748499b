import type { Item, Value } from '../../platform/ports/table.ts';

/** A row of publishing's table as it is stored now. A row of data version 1 is brought into that form, any other returned as it is. */
export function upgradeRow(item: Item): Item {
  const error = item.error as { readonly [name: string]: Value } | undefined;
  if (error?.heals === undefined) return item;
  const { heals, ...rest } = error;
  return { ...item, error: { ...rest, retryable: heals } };
}
