import * as fc from 'fast-check';
import { DomainError } from '../../contract/errors.ts';
import type {
  Conditions,
  Item,
  Key,
  Page,
  Query,
  Scalar,
  Table,
  Test,
  Value,
  Write,
} from '../../platform/ports/table.ts';

// Random operations on few items, so that they meet; and what a table answers, in a form that is alike on all platforms.

export type Operation =
  | { readonly do: 'get'; readonly key: Key }
  | { readonly do: 'write'; readonly write: Write }
  | { readonly do: 'transact'; readonly writes: readonly Write[] }
  | { readonly do: 'putAll'; readonly items: readonly Item[] }
  | { readonly do: 'list'; readonly query: Query };

const PKS = ['A', 'B'];
const SKS = ['a', 'a#1', 'a#10', 'b', '\uffff', '😀'];
const texts = fc.constantFrom('open', 'closed', '', 'a\u0000b', '\uffff', '😀');
// LocalStack tells no change of an item with a number of more than 38 digits before the point.
const scalars: fc.Arbitrary<Scalar> = fc.oneof(
  texts,
  fc.boolean(),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0.1, -1e-130, 1e37, 2 ** 53, 1e21, Math.PI),
  fc.string({ unit: 'grapheme', maxLength: 5 }),
  fc.double({ min: 1e-100, max: 1e37, noNaN: true }),
);
const names = fc.constantFrom('state', 'n', 'it', 'constructor', 'a name: #0, :0');
const values = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(names, tie('value'), { maxKeys: 3 }),
  ),
})).value;

/** Some of the values given by name. */
function some<T extends Record<string, fc.Arbitrary<unknown>>>(model: T): fc.Arbitrary<{ [K in keyof T]?: Value }> {
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<{ [K in keyof T]?: Value }>;
}

const keys: fc.Arbitrary<Key> = fc.record({ pk: fc.constantFrom(...PKS), sk: fc.constantFrom(...SKS) });
const index = fc.record({ g1pk: fc.constantFrom('A', 'B'), g1sk: fc.constantFrom('1', '10', '2', 'é') });
const attributes = fc
  .tuple(some({ state: texts, it: values, n: fc.integer({ min: -9, max: 9 }) }), fc.option(index, { nil: {} }))
  .map(([plain, indexed]) => ({ ...plain, ...indexed }) as Record<string, Value>);
const items: fc.Arbitrary<Item> = fc.tuple(keys, attributes).map(([key, rest]) => ({ ...rest, ...key }) as Item);

const tests: fc.Arbitrary<Test> = fc.oneof(
  scalars,
  fc.array(scalars, { minLength: 1, maxLength: 3 }),
  fc.oneof(texts, fc.integer({ min: -3, max: 3 })).map((bound) => ({ lt: bound })),
  fc.oneof(texts, fc.integer({ min: -3, max: 3 })).map((bound) => ({ gt: bound })),
  fc.constantFrom({ absent: true } as const, { present: true } as const),
);
const conditions: fc.Arbitrary<{ if?: Conditions }> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc
      .dictionary(fc.constantFrom('state', 'n', 'it', 'count', 'g1pk', 'sk'), tests, { maxKeys: 2 })
      .map((test) => ({ if: test })),
  },
);

/** `adding`: to what. A single write may try it on texts; what fails first in a transaction would be another question. */
const updates = (adding: readonly string[]): fc.Arbitrary<Write> =>
  fc
    .record({
      key: keys,
      upsert: fc.boolean(),
      conditions,
      set: attributes,
      add: fc.dictionary(fc.constantFrom(...adding), fc.integer({ min: -5, max: 5 }), { maxKeys: 1 }),
      remove: fc.subarray(['state', 'it', 'n', 'never']),
      removeIndex: fc.boolean(),
    })
    .map(({ key, upsert, set, add, remove, removeIndex, ...rest }) => {
      const taken = new Set([...Object.keys(set), ...Object.keys(add)]);
      const removed = [...remove, ...(removeIndex ? ['g1pk', 'g1sk'] : [])].filter((name) => !taken.has(name));
      const added = Object.fromEntries(Object.entries(add).filter(([name]) => !(name in set)));
      return { op: 'update', key, upsert, ...rest.conditions, set, add: added, remove: removed } as const;
    });

const writes = (adding: readonly string[]): fc.Arbitrary<Write> =>
  fc.oneof(
    fc
      .tuple(items, fc.boolean(), conditions)
      .map(([item, unlessExists, test]) => ({ op: 'put', item, unlessExists, ...test }) as const),
    updates(adding),
    fc.tuple(keys, conditions).map(([key, test]) => ({ op: 'delete', key, ...test }) as const),
    fc.tuple(keys, conditions).map(([key, test]) => ({ op: 'check', key, if: test.if ?? 'missing' }) as const),
  );

const cursors = fc.oneof(
  fc
    .tuple(fc.constantFrom('', 'g1'), fc.array(fc.constantFrom(...SKS), { maxLength: 3 }))
    .map(([name, rest]) => Buffer.from(JSON.stringify([name, ...rest])).toString('base64url')),
  fc.string({ maxLength: 8 }),
);
const page = {
  pk: fc.constantFrom(...PKS),
  limit: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.constantFrom(0, 1_000)),
  descending: fc.boolean(),
};
const rarely = <T>(arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, arbitrary);
const rangeOf = (sks: readonly string[]) => fc.tuple(fc.constantFrom(...sks), fc.constantFrom(...sks));
const queries: fc.Arbitrary<Query> = fc.oneof(
  fc.record({
    ...page,
    prefix: rarely(fc.constantFrom('', 'a', 'a#', 'a#1', '\uffff')),
    after: rarely(fc.constantFrom('a', 'a#1', 'a#11', 'b')),
    between: rarely(rangeOf(SKS)),
    cursor: rarely(cursors),
  }),
  fc.record({
    ...page,
    index: fc.constant('g1' as const),
    prefix: rarely(fc.constantFrom('', '1', 'x')),
    between: rarely(rangeOf(['1', '10', '2', 'é'])),
    cursor: rarely(cursors),
  }),
);

const keyTextOf = (write: Write) =>
  JSON.stringify(write.op === 'put' ? [write.item.pk, write.item.sk] : [write.key.pk, write.key.sk]);
const transactions = fc.oneof(
  { weight: 9, arbitrary: fc.uniqueArray(writes(['count']), { minLength: 1, maxLength: 5, selector: keyTextOf }) },
  fc.array(writes(['count']), { maxLength: 4 }),
);

export const operations: fc.Arbitrary<readonly Operation[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: keys.map((key) => ({ do: 'get', key }) as const) },
    { weight: 8, arbitrary: writes(['count', 'n', 'state']).map((write) => ({ do: 'write', write }) as const) },
    {
      weight: 4,
      arbitrary: transactions.map((list) => ({ do: 'transact', writes: list }) as const),
    },
    {
      weight: 1,
      arbitrary: fc
        .uniqueArray(items, { maxLength: 4, selector: ({ pk, sk }) => pk + sk })
        .map((list) => ({ do: 'putAll', items: list }) as const),
    },
    { weight: 4, arbitrary: queries.map((query) => ({ do: 'list', query }) as const) },
  ),
  { minLength: 5, maxLength: 60, size: 'max' },
);

/** The same operations on partition keys of their own. */
export function inNamespace(operation: Operation, namespace: string): Operation {
  return JSON.parse(JSON.stringify(operation), (name, value) =>
    (name === 'pk' || name === 'g1pk') && PKS.includes(value) ? `${namespace}-${value}` : value,
  );
}

/** What the table answers, or why it refuses. */
export async function answerOf(table: Table, operation: Operation): Promise<unknown> {
  try {
    return await perform(table, operation);
  } catch (error) {
    return { refused: error instanceof DomainError ? error.code : 'Error' };
  }
}

async function perform(table: Table, operation: Operation): Promise<unknown> {
  switch (operation.do) {
    case 'get':
      return table.get(operation.key);
    case 'write':
      return table.write(operation.write);
    case 'transact':
      return table.transact(operation.writes);
    case 'putAll':
      return table.putAll(operation.items);
    case 'list': {
      const pages: Page[] = [];
      for (
        let page = await table.query(operation.query);
        ;
        page = await table.query({ ...operation.query, cursor: page.cursor })
      ) {
        pages.push(page);
        if (page.cursor === undefined) return operation.query.index ? indexed(pages, operation.query) : pages;
      }
    }
  }
}

/** Equal sort keys come in any order, so that a cursor that was not given may begin anywhere among them. */
function indexed(pages: readonly Page[], { cursor }: Query): unknown {
  if (cursor !== undefined) return 'listed';
  const found = pages.flatMap((page) => page.items);
  const sorted = new Map(found.map((item) => [JSON.stringify([item.pk, item.sk]), item]));
  return {
    order: found.map(({ g1sk }) => g1sk),
    sizes: pages.map((page) => page.items.length),
    items: [...sorted.keys()].sort().map((key) => sorted.get(key)),
  };
}
