import { describe, expect, it } from 'vitest';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';

describe('a table in SQLite', () => {
  it('deletes all items whose time has passed, however many, and answers how many', async () => {
    const table = new SqliteTable({ database: openDatabase(':memory:'), name: 'test' });
    const item = (n: number, ttl: number) => ({ pk: 'p', sk: String(n).padStart(5, '0'), ttl });
    const now = new Date('2026-01-01T00:00:00.900Z');
    const seconds = Math.floor(now.getTime() / 1_000);
    await table.putAll(Array.from({ length: 1_300 }, (_, n) => item(n, seconds - n)));
    await table.putAll([item(1_300, seconds + 1), { pk: 'p', sk: 'never' }]);
    expect(await table.purgeExpired(now)).toBe(1_300);
    expect((await table.query({ pk: 'p', limit: 10 })).items.map(({ sk }) => sk)).toEqual(['01300', 'never']);
    expect(await table.purgeExpired(now)).toBe(0);
  });

  it('lets other work in between the pages of a listing', async () => {
    const table = new SqliteTable({ database: openDatabase(':memory:'), name: 'test' });
    await table.putAll(Array.from({ length: 100 }, (_, n) => ({ pk: 'p', sk: String(n).padStart(5, '0') })));
    let turns = 0;
    const count = () => {
      turns += 1;
      turn = setImmediate(count);
    };
    let turn = setImmediate(count);
    let cursor: string | undefined;
    let pages = 0;
    do {
      ({ cursor } = await table.query({ pk: 'p', limit: 10, ...(cursor ? { cursor } : {}) }));
      pages += 1;
    } while (cursor);
    clearImmediate(turn);
    expect(pages).toBe(10);
    expect(turns).toBeGreaterThanOrEqual(9);
  });

  it('is one of several in a database, by its name', async () => {
    const database = openDatabase(':memory:');
    const [one, other] = ['one', 'other'].map((name) => new SqliteTable({ database, name }));
    const item = { pk: 'p', sk: 's' };
    await one?.write({ op: 'put', item });
    expect(await other?.get(item)).toBeUndefined();
    expect(await new SqliteTable({ database, name: 'one' }).get(item)).toEqual(item);
    expect(() => new SqliteTable({ database, name: 'one; DROP' })).toThrow('not a name');
  });
});
