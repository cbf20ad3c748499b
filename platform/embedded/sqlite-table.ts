import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { conditionsHold } from '../ports/conditions.ts';
import { cursorAfter, startOf } from '../ports/cursor.ts';
import type { Item, Key, Page, Query, Table, TransactResult, Value, Write, WriteResult } from '../ports/table.ts';
import {
  checkItem,
  checkKey,
  checkQuery,
  checkTransaction,
  checkWrite,
  MAX_PAGE_BYTES,
} from '../ports/table-bounds.ts';
import { ChangeNotices } from './change-notices.ts';
import { inTransaction, orBusy } from './open-database.ts';

const PUT_ALL_ITEMS = 500;
const PURGE_ITEMS = 500;

/** The SQL table that stores the items of a table. */
export function itemsTableOf(name: string): string {
  return `table_${name}`;
}

/** The SQL table that keeps the changes of a table for its change feed. */
export function changesTableOf(name: string): string {
  return `changes_${name}`;
}

/**
 * A `Table` in an SQL table of its own. Any number of threads and processes may have it open.
 * `changes` keeps a log of all changes, which a `ChangeFeed` delivers and trims.
 */
export class SqliteTable implements Table {
  readonly #database: DatabaseSync;
  readonly #table: string;
  readonly #statements = new Map<string, StatementSync>();
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #logChange: StatementSync | undefined;
  readonly #notices: ChangeNotices;
  #changed = false;

  constructor(options: { database: DatabaseSync; name: string; changes?: boolean }) {
    const { database, name, changes = false } = options;
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`not a name of a table: ${name}`);
    this.#database = database;
    this.#table = itemsTableOf(name);
    createTables(database, this.#table, changes ? changesTableOf(name) : undefined);
    this.#get = database.prepare(`SELECT body FROM ${this.#table} WHERE pk = ? AND sk = ?`);
    this.#put = database.prepare(
      `INSERT OR REPLACE INTO ${this.#table} (pk, sk, body, g1pk, g1sk, g2pk, g2sk, ttl) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#delete = database.prepare(`DELETE FROM ${this.#table} WHERE pk = ? AND sk = ?`);
    if (changes)
      this.#logChange = database.prepare(`INSERT INTO ${changesTableOf(name)} (before, after) VALUES (?, ?)`);
    this.#notices = new ChangeNotices(database, changesTableOf(name));
  }

  async get(key: Key): Promise<Item | undefined> {
    checkKey(key);
    return orBusy(() => this.#read(key));
  }

  async query(query: Query): Promise<Page> {
    checkQuery(query);
    const { sql, values } = this.#select(query);
    // Whoever reads page after page doesn't keep the server from its other work.
    if (query.cursor) await setImmediate();
    return orBusy(() => {
      const items: Item[] = [];
      let sizeBytes = 0;
      for (const row of this.#prepare(sql).iterate(...values)) {
        const last = items.at(-1);
        if (last && (items.length === query.limit || sizeBytes >= MAX_PAGE_BYTES))
          return { items, cursor: cursorAfter(query, last) };
        items.push(JSON.parse(String(row.body)));
        sizeBytes += String(row.body).length;
      }
      return { items };
    });
  }

  async write(write: Write): Promise<WriteResult> {
    checkWrite(write);
    return this.#commit(() => {
      const before = this.#read(keyOf(write));
      if (!isAllowed(write, before)) return { ok: false, item: before };
      return { ok: true, item: this.#apply(write, before) };
    });
  }

  async transact(writes: readonly Write[]): Promise<TransactResult> {
    checkTransaction(writes);
    return this.#commit(() => {
      const found = writes.map((write, index) => ({ write, index, item: this.#read(keyOf(write)) }));
      const failed = found.filter(({ write, item }) => !isAllowed(write, item));
      if (failed.length > 0) return { ok: false, failed: failed.map(({ index, item }) => ({ index, item })) };
      for (const { write, item } of found) this.#apply(write, item);
      return { ok: true };
    });
  }

  async putAll(items: readonly Item[]): Promise<void> {
    for (const item of items) checkItem(item);
    for (let i = 0; i < items.length; i += PUT_ALL_ITEMS) {
      if (i > 0) await setImmediate();
      this.#commit(() => {
        for (const item of items.slice(i, i + PUT_ALL_ITEMS)) this.#replace(this.#read(item), item);
      });
    }
  }

  /** Deletes the items whose `ttl` has passed, as DynamoDB does by itself; to be called on a schedule. Answers how many. */
  async purgeExpired(now: Date): Promise<number> {
    const expired = this.#prepare(`SELECT body FROM ${this.#table} WHERE ttl <= ? LIMIT ${PURGE_ITEMS}`);
    for (let count = 0; ; ) {
      const purged = this.#commit(() => {
        const rows = expired.all(Math.floor(now.getTime() / 1_000));
        for (const row of rows) this.#replace(JSON.parse(String(row.body)), undefined);
        return rows.length;
      });
      count += purged;
      if (purged < PURGE_ITEMS) return count;
      await setImmediate();
    }
  }

  #commit<T>(run: () => T): T {
    this.#changed = false;
    const result = inTransaction(this.#database, run);
    if (this.#changed) this.#notices.announce();
    return result;
  }

  #read(key: Key): Item | undefined {
    const row = this.#get.get(key.pk, key.sk);
    return row && JSON.parse(String(row.body));
  }

  #apply(write: Write, before: Item | undefined): Item | undefined {
    switch (write.op) {
      case 'check':
        return before;
      case 'delete':
        if (before) this.#replace(before, undefined);
        return undefined;
      case 'put':
        this.#replace(before, write.item);
        return write.item;
      case 'update': {
        const after = updateItem(before, write);
        checkItem(after);
        this.#replace(before, after);
        return after;
      }
    }
  }

  #replace(before: Item | undefined, after: Item | undefined): void {
    const body = after && JSON.stringify(after);
    if (after && body) {
      const { pk, sk, ttl } = after;
      const index = (['g1', 'g2'] as const).flatMap((name) => [textOf(after[`${name}pk`]), textOf(after[`${name}sk`])]);
      this.#put.run(pk, sk, body, ...index, typeof ttl === 'number' ? ttl : null);
    } else if (before) {
      this.#delete.run(before.pk, before.sk);
    }
    if (this.#logChange && !isDeepStrictEqual(before, after)) {
      this.#logChange.run(before ? JSON.stringify(before) : null, body ?? null);
      this.#changed = true;
    }
  }

  #select(query: Query): { sql: string; values: SQLInputValue[] } {
    const { index = '', prefix, between, descending = false } = query;
    const [pk, sk] = [`${index}pk`, `${index}sk`];
    const clauses = [`${pk} = ?`];
    const values: SQLInputValue[] = [query.pk];
    const start = startOf(query);
    const [beyond, direction] = descending ? ['<', 'DESC'] : ['>', 'ASC'];
    if (prefix) {
      clauses.push(`${sk} >= ?`);
      values.push(prefix);
      const end = endOfPrefix(prefix);
      if (end) {
        clauses.push(`${sk} < ?`);
        values.push(end);
      }
    }
    if (between) {
      clauses.push(`${sk} BETWEEN ? AND ?`);
      values.push(...between);
    }
    if (start?.key) {
      clauses.push(`(${sk}, pk, sk) ${beyond} (?, ?, ?)`);
      values.push(start.sk, start.key.pk, start.key.sk);
    } else if (start) {
      clauses.push(`${sk} ${beyond} ?`);
      values.push(start.sk);
    }
    if (index) clauses.push(`${sk} IS NOT NULL`);
    const order = (index ? [sk, 'pk', 'sk'] : [sk]).map((column) => `${column} ${direction}`).join(', ');
    values.push(query.limit + 1);
    return {
      sql: `SELECT body FROM ${this.#table} WHERE ${clauses.join(' AND ')} ORDER BY ${order} LIMIT ?`,
      values,
    };
  }

  #prepare(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function createTables(database: DatabaseSync, table: string, changesTable: string | undefined): void {
  inTransaction(database, () => {
    database.exec(`
      CREATE TABLE IF NOT EXISTS ${table} (
        pk TEXT NOT NULL, sk TEXT NOT NULL, body TEXT NOT NULL,
        g1pk TEXT, g1sk TEXT, g2pk TEXT, g2sk TEXT, ttl REAL,
        PRIMARY KEY (pk, sk)
      ) STRICT;
      CREATE INDEX IF NOT EXISTS ${table}_g1 ON ${table} (g1pk, g1sk, pk, sk) WHERE g1pk IS NOT NULL;
      CREATE INDEX IF NOT EXISTS ${table}_g2 ON ${table} (g2pk, g2sk, pk, sk) WHERE g2pk IS NOT NULL;
      CREATE INDEX IF NOT EXISTS ${table}_ttl ON ${table} (ttl) WHERE ttl IS NOT NULL;`);
    // AUTOINCREMENT: numbers of changes that were trimmed are not given again.
    if (changesTable)
      database.exec(
        `CREATE TABLE IF NOT EXISTS ${changesTable} (seq INTEGER PRIMARY KEY AUTOINCREMENT, before TEXT, after TEXT) STRICT;`,
      );
  });
}

function keyOf(write: Write): Key {
  return write.op === 'put' ? write.item : write.key;
}

function isAllowed(write: Write, found: Item | undefined): boolean {
  if (write.if === 'missing') return found === undefined;
  if (write.op === 'put' && write.unlessExists && found) return false;
  if (write.op === 'update' && !write.upsert && !found) return false;
  return conditionsHold(write.if ?? {}, found);
}

function updateItem(before: Item | undefined, write: Write & { op: 'update' }): Item {
  const { pk, sk } = write.key;
  const attributes = new Map<string, Value>(Object.entries(before ?? { pk, sk }));
  for (const name of write.remove ?? []) attributes.delete(name);
  for (const [name, value] of Object.entries(write.set ?? {})) attributes.set(name, value);
  for (const [name, amount] of Object.entries(write.add ?? {})) {
    const sum = Number(attributes.get(name) ?? 0) + amount;
    if (!['undefined', 'number'].includes(typeof attributes.get(name))) throw new Error(`${name} is not a number`);
    attributes.set(name, sum);
  }
  return Object.fromEntries(attributes) as Item;
}

function textOf(value: Value | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

/** The least string above all that begin with the prefix: its last code point but the greatest, plus one. */
function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === 0x10ffff) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  // Surrogates (d800–dfff) are no code points of their own.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
}
