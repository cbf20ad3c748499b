import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import type { Item } from '../ports/table.ts';
import { inTransaction } from './open-database.ts';
import { changesTableOf, itemsTableOf } from './sqlite-table.ts';

/** An interrupted upgrade repeats this many rows at most, which takes milliseconds. */
const ROWS_PER_TRANSACTION = 500;
const KEYS = ['pk', 'sk', 'g1pk', 'g1sk', 'g2pk', 'g2sk', 'ttl'];

/**
 * Brings the rows of a `SqliteTable` into the form that `upgrade` returns, and so the changes that its feed has not
 * delivered yet. The feed gets no changes of this. `upgrade` returns the same object for a row that needs nothing, and keeps
 * keys, indexes and `ttl`. Rows are rewritten some at a time: an upgrade that was interrupted is repeated from the start,
 * and passes over the rows that are done. Resolves to the number of rows rewritten.
 */
export async function upgradeRows(
  database: DatabaseSync,
  { table, upgrade }: { readonly table: string; readonly upgrade: (item: Item) => Item },
): Promise<number> {
  const upgradeText = (text: unknown): string | null => {
    if (typeof text !== 'string') return null;
    const item = JSON.parse(text) as Item;
    const upgraded = upgrade(item);
    const moved = KEYS.find((name) => upgraded[name] !== item[name]);
    if (moved) throw new Error(`an upgrade changes ${moved} of ${item.pk} ${item.sk}`);
    return upgraded === item ? text : JSON.stringify(upgraded);
  };
  const items = await rewrite(database, { table: itemsTableOf(table), columns: ['body'], upgradeText });
  const changes = await rewrite(database, { table: changesTableOf(table), columns: ['before', 'after'], upgradeText });
  return items + changes;
}

async function rewrite(
  database: DatabaseSync,
  {
    table,
    columns,
    upgradeText,
  }: {
    readonly table: string;
    readonly columns: readonly string[];
    readonly upgradeText: (text: unknown) => string | null;
  },
): Promise<number> {
  // A table without a feed keeps no changes, and a context that came later had no table.
  if (!database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(table)) return 0;
  const select = database.prepare(
    `SELECT rowid AS id, ${columns.join(', ')} FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_PER_TRANSACTION}`,
  );
  const update = database.prepare(
    `UPDATE ${table} SET ${columns.map((name) => `${name} = ?`).join(', ')} WHERE rowid = ?`,
  );
  let rewritten = 0;
  /** Returns the last row that it has looked at. */
  const rewriteSome = (after: number): number | undefined => {
    const rows = select.all(after);
    for (const row of rows) {
      const texts = columns.map((name) => upgradeText(row[name]));
      if (texts.every((text, index) => text === row[columns[index] as string])) continue;
      update.run(...texts, Number(row.id));
      rewritten += 1;
    }
    return rows.length === 0 ? undefined : Number(rows.at(-1)?.id);
  };
  for (let last: number | undefined = -1; last !== undefined; await setImmediate()) {
    const after: number = last;
    last = inTransaction(database, () => rewriteSome(after));
  }
  return rewritten;
}
