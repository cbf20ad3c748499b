import type { Item, Value } from '../../platform/ports/table.ts';

type Attempt = { readonly [name: string]: Value };

/** A row of the webhooks' table as it is stored now. A row of data version 1 is brought into that form, any other returned as it is. */
export function upgradeRow(item: Item): Item {
  const attempts = item.attempts as readonly Attempt[] | undefined;
  if (!attempts?.some(isOld)) return item;
  return { ...item, attempts: attempts.map((attempt) => (isOld(attempt) ? upgradeAttempt(attempt) : attempt)) };
}

function isOld(attempt: Attempt): boolean {
  return attempt.milliseconds !== undefined;
}

function upgradeAttempt({ milliseconds, ...attempt }: Attempt): Attempt {
  return { ...attempt, duration_ms: Number(milliseconds) };
}
