import { DomainError } from '../../contract/errors.ts';
import { compareBytes } from './conditions.ts';
import type { Item, Key, Query } from './table.ts';

/** Where a page begins: after this sort key of the table, or of the index and then the item's own key. */
export interface Position {
  readonly sk: string;
  readonly key?: Key;
}

const MAX_CURSOR_LENGTH = 8_192;

/** The cursor of the page that follows this item. It holds no partition key to read: that comes from the query alone. */
export function cursorAfter(query: Query, item: Item): string {
  const parts = query.index ? [query.index, item[`${query.index}sk`], item.pk, item.sk] : ['', item.sk];
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Where a query begins, by its cursor or `after`; `InvalidCursorError` if the cursor is not one of this listing. */
export function startOf(query: Query): Position | undefined {
  if (query.cursor === undefined) return query.after === undefined ? undefined : { sk: query.after };
  const [index, sk, ...key] = parseCursor(query.cursor);
  const inIndex = index === (query.index ?? '') && key.length === (query.index ? 2 : 0);
  if (!inIndex || !sk?.startsWith(query.prefix ?? '') || !isWithin(sk, query)) throw invalidCursor();
  return query.index ? { sk, key: { pk: key[0] as string, sk: key[1] as string } } : { sk };
}

function isWithin(sk: string, { after, between, descending }: Query): boolean {
  if (between) return compareBytes(sk, between[0]) >= 0 && compareBytes(sk, between[1]) <= 0;
  if (after === undefined) return true;
  const order = compareBytes(sk, after);
  return descending ? order < 0 : order > 0;
}

function parseCursor(cursor: string): string[] {
  if (cursor.length > MAX_CURSOR_LENGTH) throw invalidCursor();
  const bytes = Buffer.from(cursor, 'base64url');
  if (bytes.toString('base64url') !== cursor) throw invalidCursor();
  let parts: unknown;
  try {
    parts = JSON.parse(bytes.toString());
  } catch {
    throw invalidCursor();
  }
  if (!Array.isArray(parts) || !parts.every((part, i) => typeof part === 'string' && (i === 0 || isKeyText(part))))
    throw invalidCursor();
  return parts;
}

function isKeyText(text: string): boolean {
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= 1_024;
}

function invalidCursor(): DomainError {
  return new DomainError('InvalidCursorError', 'the cursor is not one of this listing');
}
