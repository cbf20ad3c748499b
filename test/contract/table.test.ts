import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Change, Conditions, Item, Query, Table, Test, Value, Write } from '../../platform/ports/table.ts';
import { ACCOUNTS, accountKey, CLAIMS, counterKey, OPENING_BALANCE } from '../support/table-crowd.ts';
import { answerOf, inNamespace, operations } from '../support/table-operations.ts';
import { createDynamoTestTable, createSqliteTestTable, type TestTable } from '../support/tables.ts';

const localstack = process.env.LOCALSTACK_ENDPOINT;
const platforms: [string, () => Promise<TestTable>][] = [['embedded', createSqliteTestTable]];
if (localstack) platforms.push(['AWS', () => createDynamoTestTable(localstack)]);

const byKey = (a: Item, b: Item) => Buffer.compare(Buffer.from(a.pk + a.sk), Buffer.from(b.pk + b.sk));

const accounts = Array.from({ length: ACCOUNTS }, (_, n) => n);
const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);

/** Every item of a listing, page by page, and how many each page held. */
async function listAll(table: Table, query: Query): Promise<{ items: Item[]; pages: number[] }> {
  const items: Item[] = [];
  const pages: number[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await table.query({ ...query, cursor });
    items.push(...page.items);
    pages.push(page.items.length);
    cursor = page.cursor;
    if (cursor === undefined) return { items, pages };
  }
}

describe.each(platforms)('a table, %s', (_, open) => {
  let world: TestTable;
  let table: Table;
  beforeAll(async () => {
    world = await open();
    table = world.table;
  });
  afterAll(() => world.close());

  /** A partition key of the test's own. */
  const newPk = () => `pk-${randomUUID()}`;
  const put = (item: Item) => table.write({ op: 'put', item });
  const putSorted = (pk: string, sks: readonly string[]) => table.putAll(sks.map((sk) => ({ pk, sk })));
  const sksOf = (items: readonly Item[]) => items.map(({ sk }) => sk);

  describe('a write', () => {
    it('keeps every kind of value exactly', async () => {
      const item = {
        pk: newPk(),
        sk: 'é\u0000😀',
        text: 'a "quoted" \u0000 😀 text',
        empty: '',
        yes: true,
        no: false,
        nothing: null,
        list: [1, 'two', [], {}, [null, { deep: [false] }]],
        map: { '': undefined, constructor: 1, toString: { hasOwnProperty: [] }, 'a.b[0]': 1 },
        numbers: [0, -1, 0.1, 1e21, 1e-7, 2 ** 53, 2 ** 60, Math.PI, 1e-130, 9.99e125, -1.7976931348623157e100],
        'a name: #x, :y and "size"': 1,
        constructor: 'c',
      };
      delete (item.map as Record<string, unknown>)[''];
      expect(await put(item as unknown as Item)).toEqual({ ok: true, item });
      expect(await table.get(item)).toEqual(item);
      expect(await table.get({ pk: item.pk, sk: 'other' })).toBeUndefined();
    });

    it('replaces the whole item by a put, and puts only where none is if told so', async () => {
      const key = { pk: newPk(), sk: 'a' };
      await put({ ...key, one: 1 });
      expect(await put({ ...key, two: 2 })).toEqual({ ok: true, item: { ...key, two: 2 } });
      expect(await table.write({ op: 'put', item: { ...key, three: 3 }, unlessExists: true })).toEqual({
        ok: false,
        item: { ...key, two: 2 },
      });
      const other = { pk: key.pk, sk: 'b' };
      expect(await table.write({ op: 'put', item: other, unlessExists: true })).toEqual({ ok: true, item: other });
      expect(await table.get(key)).toEqual({ ...key, two: 2 });
    });

    it('changes attributes by an update and answers the whole item', async () => {
      const key = { pk: newPk(), sk: 'a' };
      await put({ ...key, kept: [1], old: 'x', count: 3, gone: true });
      const result = await table.write({
        op: 'update',
        key,
        set: { old: { now: 'a map' }, size: 5 },
        add: { count: -4, fresh: 2 },
        remove: ['gone', 'never there'],
      });
      const item = { ...key, kept: [1], old: { now: 'a map' }, size: 5, count: -1, fresh: 2 };
      expect(result).toEqual({ ok: true, item });
      expect(await table.get(key)).toEqual(item);
    });

    it('creates an item by an update only if told so', async () => {
      const key = { pk: newPk(), sk: 'a' };
      const update = { op: 'update', key, add: { count: 1 }, remove: ['x'] } as const;
      expect(await table.write(update)).toEqual({ ok: false });
      expect(await table.get(key)).toBeUndefined();
      expect(await table.write({ ...update, upsert: true })).toEqual({ ok: true, item: { ...key, count: 1 } });
      expect(await table.write(update)).toEqual({ ok: true, item: { ...key, count: 2 } });
    });

    it('deletes, also what is not there', async () => {
      const item = { pk: newPk(), sk: 'a', state: 'open' };
      await put(item);
      const remove = { op: 'delete', key: { pk: item.pk, sk: item.sk } } as const;
      expect(await table.write({ ...remove, if: { state: 'closed' } })).toEqual({ ok: false, item });
      expect(await table.write({ ...remove, if: { state: 'open' } })).toEqual({ ok: true });
      expect(await table.get(item)).toBeUndefined();
      expect(await table.write(remove)).toEqual({ ok: true });
      expect(await table.write({ ...remove, if: { state: 'open' } })).toEqual({ ok: false });
    });

    it('tells a missing item from one in another state', async () => {
      const item = { pk: newPk(), sk: 'a', state: 'closed' };
      await put(item);
      const close = (sk: string) =>
        table.write({ op: 'update', key: { pk: item.pk, sk }, if: { state: 'open' }, set: { state: 'closed' } });
      expect(await close('a')).toEqual({ ok: false, item });
      expect(await close('b')).toEqual({ ok: false });
    });

    it('checks without changing', async () => {
      const item = { pk: newPk(), sk: 'a', n: 1 };
      await put(item);
      const check = (sk: string, test: Conditions | 'missing') =>
        table.write({ op: 'check', key: { pk: item.pk, sk }, if: test });
      expect(await check('a', { n: 1 })).toEqual({ ok: true, item });
      expect(await check('a', 'missing')).toEqual({ ok: false, item });
      expect(await check('b', 'missing')).toEqual({ ok: true });
      expect(await check('b', { n: 1 })).toEqual({ ok: false });
    });

    it('fails as a whole when it adds to what is not a number', async () => {
      const item = { pk: newPk(), sk: 'a', text: '1', nothing: null };
      await put(item);
      for (const name of ['text', 'nothing']) {
        const update = { op: 'update', key: item, add: { [name]: 1, other: 1 } } as const;
        await expect(table.write(update)).rejects.toThrow();
        await expect(table.transact([update])).rejects.toThrow();
      }
      expect(await table.get(item)).toEqual(item);
    });
  });

  describe('a condition', () => {
    const absent = Symbol('absent');
    const cases: [Test, Value | typeof absent, boolean][] = [
      ['open', 'open', true],
      ['open', 'Open', false],
      ['open', absent, false],
      ['', '', true],
      [1, 1, true],
      [1, '1', false],
      [0.1, 0.1, true],
      [2 ** 53, 2 ** 53 + 2, false],
      [true, true, true],
      [true, 1, false],
      [false, null, false],
      [false, absent, false],
      ['x', ['x'], false],
      [['open', 'closed'], 'closed', true],
      [['open', 1, true], true, true],
      [['open', 1, true], 'true', false],
      [['open'], absent, false],
      [{ lt: 5 }, 4, true],
      [{ lt: 5 }, 5, false],
      [{ lt: 5 }, '4', false],
      [{ lt: 5 }, null, false],
      [{ lt: 5 }, absent, false],
      [{ gt: -1 }, 0, true],
      [{ gt: 5 }, 5, false],
      [{ gt: 5 }, absent, false],
      [{ lt: 'b' }, 'a', true],
      [{ lt: 'b' }, '', true],
      [{ gt: 'b' }, 'ba', true],
      // By UTF-16 units it would be below.
      [{ gt: '\uffff' }, '😀', true],
      [{ lt: 'b' }, 1, false],
      [{ absent: true }, absent, true],
      [{ absent: true }, null, false],
      [{ present: true }, absent, false],
      [{ present: true }, null, true],
      [{ present: true }, [], true],
    ];

    it.each(cases)('%j holds for %j or not', async (test, value, holds) => {
      const item = { pk: newPk(), sk: 'a', other: 1, ...(value === absent ? {} : { it: value }) };
      await put(item);
      const outcome = await table.write({ op: 'update', key: item, if: { it: test, other: 1 }, set: { seen: true } });
      expect(outcome).toEqual({ ok: holds, item: holds ? { ...item, seen: true } : item });
      const check = await table.transact([{ op: 'check', key: item, if: { it: test } }]);
      expect(check.ok).toBe(holds);
    });

    it('is met by a missing item only if it is absence', async () => {
      const key = { pk: newPk(), sk: 'a' };
      for (const test of ['x', ['x'], { lt: 1 }, { gt: 'a' }, { present: true }] satisfies Test[])
        expect(await table.write({ op: 'put', item: key, if: { it: test } })).toEqual({ ok: false });
      expect(await table.write({ op: 'delete', key, if: { it: { absent: true } } })).toEqual({ ok: true });
      expect(await table.write({ op: 'put', item: key, if: { it: { absent: true } } })).toEqual({
        ok: true,
        item: key,
      });
    });

    it('must hold with all others', async () => {
      const item = { pk: newPk(), sk: 'a', one: 1, two: 2 };
      await put(item);
      const write = (conditions: Conditions) => table.write({ op: 'put', item, if: conditions });
      expect((await write({ one: 1, two: 2, three: { absent: true } })).ok).toBe(true);
      expect((await write({ one: 1, two: 1 })).ok).toBe(false);
      expect((await write({})).ok).toBe(true);
    });

    it('takes a hundred alternatives', async () => {
      const item = { pk: newPk(), sk: 'a', n: 99 };
      await put(item);
      const hundred = Array.from({ length: 100 }, (_, n) => n);
      expect((await table.write({ op: 'put', item, if: { n: hundred } })).ok).toBe(true);
    });
  });

  describe('a transaction', () => {
    it('writes everything', async () => {
      const pk = newPk();
      await put({ pk, sk: 'changed', n: 1 });
      await put({ pk, sk: 'deleted' });
      const result = await table.transact([
        { op: 'put', item: { pk, sk: 'put' }, unlessExists: true },
        { op: 'update', key: { pk, sk: 'changed' }, if: { n: 1 }, add: { n: 1 } },
        { op: 'update', key: { pk, sk: 'created' }, upsert: true, set: { n: 7 } },
        { op: 'delete', key: { pk, sk: 'deleted' } },
        { op: 'check', key: { pk, sk: 'missing' }, if: 'missing' },
      ]);
      expect(result).toEqual({ ok: true });
      expect((await table.query({ pk, limit: 10 })).items).toEqual([
        { pk, sk: 'changed', n: 2 },
        { pk, sk: 'created', n: 7 },
        { pk, sk: 'put' },
      ]);
    });

    it('writes nothing when a condition fails, and tells all that failed with what was found', async () => {
      const pk = newPk();
      const [one, two] = [
        { pk, sk: '1', n: 1 },
        { pk, sk: '2', n: 2 },
      ];
      await table.putAll([one, two]);
      const result = await table.transact([
        { op: 'put', item: { pk, sk: '0' } },
        { op: 'update', key: one, if: { n: 5 }, set: { n: 6 } },
        { op: 'update', key: { pk, sk: '3' }, set: { n: 6 } },
        { op: 'delete', key: two },
        { op: 'check', key: { pk, sk: '4' }, if: 'missing' },
      ]);
      expect(result).toEqual({ ok: false, failed: [{ index: 1, item: one }, { index: 2 }] });
      expect((await table.query({ pk, limit: 10 })).items).toEqual([one, two]);
    });

    it('takes a hundred writes', async () => {
      const pk = newPk();
      const items = Array.from({ length: 100 }, (_, n) => ({
        pk,
        sk: String(n).padStart(3, '0'),
        text: 'x'.repeat(1_000),
      }));
      const puts = items.map((item) => ({ op: 'put', item, unlessExists: true }) as const);
      expect(await table.transact(puts)).toEqual({ ok: true });
      expect((await table.query({ pk, limit: 1_000 })).items).toEqual(items);
      const again = await table.transact(puts);
      expect(again).toEqual({ ok: false, failed: items.map((item, index) => ({ index, item })) });
    });
  });

  it('refuses what one of the platforms would not take, and writes nothing', async () => {
    const pk = newPk();
    const key = { pk, sk: 'a' };
    const nested = (depth: number): Value => (depth === 0 ? 1 : [nested(depth - 1)]);
    const wrong = (value: unknown) => value as Value;
    const items: Item[] = [
      { pk, sk: '' },
      { pk, sk: 'x'.repeat(1_025) },
      { pk, sk: 'é'.repeat(513) },
      { pk, sk: '\ud800' },
      { ...key, v: Number.NaN },
      { ...key, v: Number.POSITIVE_INFINITY },
      { ...key, v: 1e126 },
      { ...key, v: 1e-131 },
      { ...key, v: '\ud800' },
      { ...key, v: nested(32) },
      { ...key, v: wrong(undefined) },
      { ...key, v: wrong(new Array(1)) },
      { ...key, v: wrong(new Date()) },
      { ...key, v: wrong(1n) },
      { ...key, v: { '': 1 } },
      { ...key, '': 1 },
      { ...key, ['x'.repeat(256)]: 1 },
      { ...key, v: JSON.parse('{"__proto__": 1}') },
      { ...key, g1pk: 'x' },
      { ...key, g2sk: 'x' },
      { ...key, g1pk: 1, g1sk: 'x' },
      { ...key, g1pk: '', g1sk: 'x' },
      { ...key, ttl: '2026' },
      { ...key, ttl: Date.now() },
      { ...key, v: 'x'.repeat(400 * 1024) },
    ];
    const update = { op: 'update', key, upsert: true } as const;
    const writes: Write[] = [
      ...items.map((item) => ({ op: 'put', item }) as const),
      update,
      { ...update, set: {}, remove: [] },
      { ...update, set: { v: 1 }, add: { v: 1 } },
      { ...update, set: { sk: 'b' } },
      { ...update, add: { v: 0.5 } },
      { ...update, add: { v: 2 ** 53 } },
      { ...update, add: { ttl: 1 } },
      { ...update, set: { g1pk: 'x' } },
      { ...update, remove: ['g1sk'] },
      { ...update, set: { g1pk: 'x' }, remove: ['g1sk'] },
      { ...update, set: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`n${n}`, n])) },
      { ...update, set: { v: 1 }, if: { v: [] } },
      { ...update, set: { v: 1 }, if: { v: Array.from({ length: 101 }, (_, n) => n) } },
      { ...update, set: { v: 1 }, if: { v: { lt: wrong(true) as number } } },
      { ...update, set: { v: 1 }, if: { v: wrong(null) as number } },
      { op: 'check', key, if: {} },
      { op: 'delete', key: { pk, sk: '' } },
    ];
    for (const [index, write] of writes.entries()) {
      await expect(table.write(write), `writes[${index}]`).rejects.toThrow('table: ');
      await expect(table.transact([{ op: 'put', item: { pk, sk: 'b' } }, write])).rejects.toThrow();
    }
    for (const item of items) await expect(table.putAll([{ pk, sk: 'b' }, item])).rejects.toThrow();
    await expect(table.get({ pk: '', sk: 'a' })).rejects.toThrow();

    const put = { op: 'put', item: { pk, sk: 'b' } } as const;
    const hundredAndOne = Array.from({ length: 101 }, (_, n) => ({ op: 'put', item: { pk, sk: `${n}` } }) as const);
    for (const transaction of [[], [put, put], [put, { op: 'delete', key: put.item } as const], hundredAndOne])
      await expect(table.transact(transaction)).rejects.toThrow();
    const large = (sk: string): Write => ({ op: 'put', item: { pk, sk, v: 'x'.repeat(399 * 1_024) } });
    await expect(table.transact(Array.from({ length: 11 }, (_, n) => large(`${n}`)))).rejects.toThrow();

    for (const query of [{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { after: 'b', prefix: 'a' }, { after: '' }])
      await expect(table.query({ pk, limit: 1, ...query })).rejects.toThrow();
    await expect(table.query({ pk, index: 'g1', after: 'a', limit: 1 })).rejects.toThrow();
    for (const query of [
      { between: ['b', 'a'] },
      { between: ['', 'a'] },
      { between: ['a', 'b'], prefix: 'a' },
      { between: ['a', 'b'], after: 'a' },
    ] as const)
      await expect(table.query({ pk, limit: 1, ...query })).rejects.toThrow();
    expect((await table.query({ pk, limit: 1_000 })).items).toEqual([]);
  });

  it('refuses an update that makes an item too large', async () => {
    const item = { pk: newPk(), sk: 'a', half: 'x'.repeat(250 * 1_024) };
    await put(item);
    const update = { op: 'update', key: item, set: { other: 'x'.repeat(250 * 1_024) } } as const;
    await expect(table.write(update)).rejects.toThrow();
    expect(await table.get(item)).toEqual(item);
  });

  describe('putAll', () => {
    it('puts any number of items, and again', async () => {
      const pk = newPk();
      const items = Array.from({ length: 321 }, (_, n) => ({ pk, sk: String(n).padStart(5, '0'), n }));
      await table.putAll(items);
      await table.putAll([...items, ...items.slice(0, 30)]);
      await table.putAll([]);
      expect((await listAll(table, { pk, limit: 200 })).items).toEqual(items);
    });

    it('replaces what is there', async () => {
      const key = { pk: newPk(), sk: 'a' };
      await put({ ...key, old: 1 });
      await table.putAll([{ ...key, new: 1 }]);
      expect(await table.get(key)).toEqual({ ...key, new: 1 });
    });
  });

  describe('a query', () => {
    const sorted = ['\u0000', 'A', 'a', 'a\u0000', 'a#1', 'a#10', 'a#2', 'aa', 'b', 'é', '\ud7ff', '\uffff', '😀'];

    it('lists one partition key in order of UTF-8 bytes, and backwards', async () => {
      const pk = newPk();
      await putSorted(pk, [...sorted].reverse());
      await putSorted(`${pk}0`, ['other']);
      expect(sksOf((await table.query({ pk, limit: 100 })).items)).toEqual(sorted);
      const { items } = await table.query({ pk, limit: 100, descending: true });
      expect(sksOf(items)).toEqual([...sorted].reverse());
      expect(await table.query({ pk: newPk(), limit: 100 })).toEqual({ items: [] });
    });

    it.each(['', 'a', 'a#', 'a#1', '\ud7ff', '\uffff', '😀', '\u{10ffff}', 'zz'])(
      'lists what begins with %j',
      async (prefix) => {
        const pk = newPk();
        await putSorted(pk, sorted);
        const { items } = await table.query({ pk, prefix, limit: 100 });
        expect(sksOf(items)).toEqual(sorted.filter((sk) => sk.startsWith(prefix)));
      },
    );

    it('begins after a sort key, whether that is there or not', async () => {
      const pk = newPk();
      await putSorted(pk, sorted);
      const list = async (query: Partial<Query>) => sksOf((await table.query({ pk, limit: 100, ...query })).items);
      expect(await list({ after: 'aa' })).toEqual(sorted.slice(8));
      expect(await list({ after: 'aaa' })).toEqual(sorted.slice(8));
      expect(await list({ after: 'a#', prefix: 'a#' })).toEqual(['a#1', 'a#10', 'a#2']);
      expect(await list({ after: 'a#10', prefix: 'a#' })).toEqual(['a#2']);
      expect(await list({ after: 'a#10', prefix: 'a#', descending: true })).toEqual(['a#1']);
      expect(await list({ after: 'A', descending: true })).toEqual(['\u0000']);
      expect(await list({ after: '😀' })).toEqual([]);
    });

    it('lists the sort keys from one to another, both included, and backwards', async () => {
      const pk = newPk();
      await table.putAll(sorted.map((sk) => ({ pk, sk, g2pk: pk, g2sk: sk })));
      for (const index of [undefined, 'g2'] as const) {
        const list = async (first: string, last: string, query: Partial<Query> = {}) =>
          sksOf((await listAll(table, { pk, index, between: [first, last], limit: 2, ...query })).items);
        expect(await list('a#1', 'aa')).toEqual(['a#1', 'a#10', 'a#2', 'aa']);
        expect(await list('a#', 'aaa')).toEqual(['a#1', 'a#10', 'a#2', 'aa']);
        expect(await list('a#1', 'aa', { descending: true })).toEqual(['aa', 'a#2', 'a#10', 'a#1']);
        expect(await list('é', '😀')).toEqual(sorted.slice(9));
        expect(await list('b', 'b')).toEqual(['b']);
        expect(await list('ab', 'az')).toEqual([]);
      }
    });

    it.each([
      [1, Array(13).fill(1)],
      [5, [5, 5, 3]],
      [12, [12, 1]],
      [13, [13]],
      [14, [13]],
    ])('of %d a page has a cursor only when more follows', async (limit, pages) => {
      const pk = newPk();
      await putSorted(pk, sorted);
      const forwards = await listAll(table, { pk, limit });
      expect(forwards.pages).toEqual(pages);
      expect(sksOf(forwards.items)).toEqual(sorted);
      const backwards = await listAll(table, { pk, limit, descending: true });
      expect(backwards.pages).toEqual(pages);
      expect(sksOf(backwards.items)).toEqual([...sorted].reverse());
    });

    it('goes on after the item of the cursor though that has gone', async () => {
      const pk = newPk();
      await putSorted(pk, ['a', 'b', 'c', 'd']);
      const { cursor } = await table.query({ pk, limit: 2 });
      await table.write({ op: 'delete', key: { pk, sk: 'b' } });
      await put({ pk, sk: 'aa' });
      expect(sksOf((await table.query({ pk, limit: 10, cursor })).items)).toEqual(['c', 'd']);
    });

    it('ends a page before it holds too much, and misses nothing', async () => {
      const pk = newPk();
      const items = Array.from({ length: 7 }, (_, n) => ({ pk, sk: `${n}`, text: 'x'.repeat(300 * 1_024) }));
      await table.putAll(items);
      const listed = await listAll(table, { pk, limit: 1_000 });
      expect(sksOf(listed.items)).toEqual(sksOf(items));
      expect(listed.pages.length).toBeGreaterThan(1);
    });
  });

  describe('an index', () => {
    it('lists the items that have its keys, and follows their changes', async () => {
      const [pk, open, closed] = [newPk(), newPk(), newPk()];
      const item = (sk: string, g1pk: string) => ({ pk, sk, g1pk, g1sk: `s-${sk}`, n: 1 });
      const list = async (index: 'g1' | 'g2', key: string, query: Partial<Query> = {}) =>
        sksOf((await table.query({ pk: key, index, limit: 10, ...query })).items);
      await table.putAll([item('b', open), item('a', open), item('c', closed), { pk, sk: 'd' }]);
      expect((await table.query({ pk: open, index: 'g1', limit: 10 })).items).toEqual([
        item('a', open),
        item('b', open),
      ]);
      await table.write({
        op: 'update',
        key: { pk, sk: 'a' },
        set: { g1pk: closed, g1sk: 't', g2pk: open, g2sk: 'x' },
      });
      expect(await list('g1', open)).toEqual(['b']);
      expect(await list('g1', closed)).toEqual(['c', 'a']);
      expect(await list('g1', closed, { descending: true })).toEqual(['a', 'c']);
      expect(await list('g1', closed, { prefix: 's-' })).toEqual(['c']);
      expect(await list('g2', open)).toEqual(['a']);
      await table.write({ op: 'update', key: { pk, sk: 'a' }, remove: ['g1pk', 'g1sk'] });
      await table.write({ op: 'delete', key: { pk, sk: 'c' } });
      expect(await list('g1', closed)).toEqual([]);
      expect(await list('g2', open)).toEqual(['a']);
    });

    it.each([false, true])('gives each of many items with equal sort keys once, descending: %s', async (descending) => {
      const [pk, g1pk] = [newPk(), newPk()];
      const items = Array.from({ length: 40 }, (_, n) => ({
        pk: `${pk}-${n % 7}`,
        sk: `${n}`,
        g1pk,
        g1sk: `s${n % 3}`,
      }));
      await table.putAll(items);
      const listed = await listAll(table, { pk: g1pk, index: 'g1', limit: 7, descending });
      expect(listed.pages).toEqual([7, 7, 7, 7, 7, 5]);
      expect([...listed.items].sort(byKey)).toEqual([...items].sort(byKey));
      const order = listed.items.map(({ g1sk }) => String(g1sk));
      expect(descending ? order.reverse() : order).toEqual([...order].sort());
    });
  });

  describe('a cursor', () => {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

    it('that no listing gives is refused', async () => {
      const cursors = [
        '',
        ' ',
        'x',
        '%%%',
        'null',
        encode(null),
        encode({}),
        encode([]),
        encode(['']),
        encode(['', '']),
        encode(['', 1]),
        encode(['', 'a', 'b']),
        encode(['', '\ud800']),
        encode(['', 'x'.repeat(1_025)]),
        encode(['g1', 'a']),
        encode(['g1', 'a', 'b', 'c']),
        `${encode(['', 'a'])}=`,
        `${encode(['', 'a'])}\n`,
        encode(['', 'a']).repeat(2_000),
      ];
      for (const cursor of cursors) {
        const listing = table.query({ pk: newPk(), limit: 10, cursor });
        await expect(listing, cursor.slice(0, 100)).rejects.toMatchObject({ code: 'InvalidCursorError' });
      }
    });

    it('of another listing is refused', async () => {
      const pk = newPk();
      await table.putAll(['a1', 'a2', 'b1', 'b2'].map((sk) => ({ pk, sk, g1pk: pk, g1sk: sk, g2pk: pk, g2sk: sk })));
      const invalid = { code: 'InvalidCursorError' };
      const cursorOf = async (query: Partial<Query>) => (await table.query({ pk, limit: 1, ...query })).cursor;
      const ask = async (cursor: string | undefined, query: Partial<Query>) => {
        expect(cursor).toBeTypeOf('string');
        return table.query({ pk, limit: 1, cursor, ...query });
      };
      await expect(ask(await cursorOf({ prefix: 'a' }), { prefix: 'b' })).rejects.toMatchObject(invalid);
      await expect(ask(await cursorOf({}), { between: ['a2', 'b2'] })).rejects.toMatchObject(invalid);
      const index = 'g1';
      const older = await cursorOf({ index, descending: true, between: ['a1', 'b1'] });
      await expect(ask(older, { index, descending: true, between: ['a1', 'a2'] })).rejects.toMatchObject(invalid);
      await expect(ask(await cursorOf({}), { after: 'a2' })).rejects.toMatchObject(invalid);
      await expect(ask(await cursorOf({ descending: true }), { after: 'a2', descending: true })).rejects.toMatchObject(
        invalid,
      );
      await expect(ask(await cursorOf({}), { index: 'g1' })).rejects.toMatchObject(invalid);
      await expect(ask(await cursorOf({ index: 'g1' }), {})).rejects.toMatchObject(invalid);
      await expect(ask(await cursorOf({ index: 'g1' }), { index: 'g2' })).rejects.toMatchObject(invalid);
    });

    it('reads no partition but that of the query', async () => {
      const [mine, theirs] = [newPk(), newPk()];
      await putSorted(mine, ['a', 'b']);
      await table.putAll(['a', 'b', 'c'].map((sk) => ({ pk: theirs, sk, g1pk: theirs, g1sk: sk })));
      const base = await table.query({ pk: theirs, limit: 1 });
      expect((await table.query({ pk: mine, limit: 10, cursor: base.cursor })).items).toEqual([{ pk: mine, sk: 'b' }]);
      const index = await table.query({ pk: theirs, index: 'g1', limit: 1 });
      expect(await table.query({ pk: mine, index: 'g1', limit: 10, cursor: index.cursor })).toEqual({ items: [] });
    });
  });

  it('still finds an item whose time has passed, until it is deleted for that', async () => {
    // LocalStack looks for such items in the first MB of a table.
    const { table, expire, changes, close } = await open();
    onTestFinished(close);
    const pk = newPk();
    const past = Math.floor(Date.now() / 1_000) - 10;
    const gone = { pk, sk: 'gone', ttl: past };
    await table.putAll([gone, { pk, sk: 'kept', ttl: past + 1_000 }, { pk, sk: 'never' }]);
    expect(await table.get(gone)).toEqual(gone);
    await expire();
    expect(sksOf((await table.query({ pk, limit: 10 })).items)).toEqual(['kept', 'never']);
    expect((await changes()).at(-1)).toMatchObject({ key: { pk, sk: 'gone' }, before: gone });
  });

  it('loses nothing and does nothing twice when many write at the same time', { timeout: 60_000 }, async () => {
    const pk = newPk();
    await put({ ...counterKey(pk), n: 0 });
    await table.putAll(accounts.map((n) => ({ ...accountKey(pk, n), balance: OPENING_BALANCE, moves: 0, touches: 0 })));
    const clients = ['a', 'b', 'c', 'd'];
    const times = 8;
    const won = await Promise.all(clients.map((client) => world.work({ pk, client, times })));

    expect(sum(won)).toBe(CLAIMS);
    expect(await table.get(counterKey(pk))).toMatchObject({ n: clients.length * times });
    const { items: transfers } = await listAll(table, { pk, prefix: 'transfer#', limit: 1_000 });
    expect(transfers.length).toBeGreaterThan(0);
    for (const account of accounts) {
      const amounts = transfers.map(({ from, to, amount }) =>
        from === account ? -Number(amount) : to === account ? Number(amount) : 0,
      );
      const item = await table.get(accountKey(pk, account));
      expect(item).toMatchObject({
        balance: OPENING_BALANCE + sum(amounts),
        moves: amounts.filter((amount) => amount !== 0).length,
        touches: sum(clients.map(() => Math.ceil((times - account) / ACCOUNTS))),
      });
      expect(item?.balance).toBeGreaterThanOrEqual(0);
    }
  });

  describe('the changes', () => {
    const changesOf = async (pk: string) => (await world.changes()).filter(({ key }) => key.pk === pk);

    const imagesOf = (changes: readonly Change[]) => changes.map(({ before, after }) => [before, after]);

    it('tell each write of a partition key in order, with the item before and after', async () => {
      const pk = newPk();
      const [a, b] = [
        { pk, sk: 'a', n: 1, deep: [{ x: null }] },
        { pk, sk: 'b', n: 1 },
      ];
      await put(a);
      await table.putAll([b]);
      await table.write({ op: 'update', key: a, add: { n: 1 } });
      await table.transact([
        { op: 'update', key: a, add: { n: 1 } },
        { op: 'check', key: b, if: { n: 1 } },
      ]);
      await table.write({ op: 'delete', key: b });
      const changes = await changesOf(pk);
      expect(imagesOf(changes)).toEqual([
        [undefined, a],
        [undefined, b],
        [a, { ...a, n: 2 }],
        [
          { ...a, n: 2 },
          { ...a, n: 3 },
        ],
        [b, undefined],
      ]);
      expect(changes.map(({ key }) => key)).toEqual([a, b, a, a, b].map(({ sk }) => ({ pk, sk })));
      const seqs = changes.map(({ seq }) => seq);
      expect(seqs).toEqual([...new Set(seqs)].sort());
      expect(new Set(seqs.map((seq) => seq.length)).size).toBe(1);
    });

    it('tell nothing of writes that changed nothing', async () => {
      const item = { pk: newPk(), sk: 'a', n: 1 };
      await put(item);
      await put(item);
      await table.write({ op: 'update', key: item, set: { n: 1 } });
      await table.write({ op: 'update', key: item, if: { n: 2 }, set: { n: 3 } });
      await table.write({ op: 'delete', key: { pk: item.pk, sk: 'b' } });
      await table.transact([{ op: 'put', item: { ...item, n: 4 }, if: { n: 2 } }]);
      expect(imagesOf(await changesOf(item.pk))).toEqual([[undefined, item]]);
    });
  });
});

// Runs and seed of CI; more by hand.
const numRuns = Number(process.env.PROPERTY_RUNS ?? 30);
const seed = Number(process.env.PROPERTY_SEED ?? 20_260_101);

if (localstack) {
  describe('tables on both platforms', () => {
    let embedded: TestTable;
    let aws: TestTable;
    beforeAll(async () => {
      [embedded, aws] = [await createSqliteTestTable(), await createDynamoTestTable(localstack)];
    });
    afterAll(() => Promise.all([embedded.close(), aws.close()]));

    it('answer any sequence of operations alike, and tell the same changes', {
      timeout: 60_000 + 5_000 * numRuns,
    }, async () => {
      const property = fc.asyncProperty(operations, async (sequence) => {
        const namespace = randomUUID();
        for (const operation of sequence.map((each) => inNamespace(each, namespace)))
          expect(await answerOf(aws.table, operation)).toEqual(await answerOf(embedded.table, operation));
      });
      await fc.assert(property, { numRuns, seed });
      expect(changesByItem(await aws.changes())).toEqual(changesByItem(await embedded.changes()));
    });
  });
}

function changesByItem(changes: readonly Change[]): Record<string, unknown[]> {
  const byItem: Record<string, unknown[]> = {};
  for (const { key, before, after } of changes) {
    const id = JSON.stringify([key.pk, key.sk]);
    byItem[id] = [...(byItem[id] ?? []), { before, after }];
  }
  return byItem;
}
