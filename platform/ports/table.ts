/**
 * What an attribute may hold: JSON. Numbers are 0 or of 1e-130 to 9.99e125, plus or minus; texts are well-formed Unicode;
 * names are neither empty nor `__proto__`; at most 31 containers in one another. No `undefined`, no binary.
 */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value };
export type Scalar = string | number | boolean;

/** Every item has a partition key and a sort key, non-empty strings of at most 1,024 bytes. */
export interface Key {
  readonly pk: string;
  readonly sk: string;
}

/**
 * An item: its key and attributes, at most 400 KB as DynamoDB counts it.
 * `g1pk` + `g1sk` and `g2pk` + `g2sk` (strings, both or neither) put it into the index `g1` or `g2`.
 * `ttl` (epoch seconds) has it deleted some time after; until then reads still find it.
 */
export type Item = Key & { readonly [attribute: string]: Value };

type IndexName = 'g1' | 'g2';

/**
 * A condition on one top-level attribute: equal to a scalar, one of several (at most 100), below or above a number
 * or string (by UTF-8 bytes), absent or present. An absent attribute fulfils `{absent: true}` only.
 */
export type Test =
  | Scalar
  | readonly Scalar[]
  | { readonly lt: number | string }
  | { readonly gt: number | string }
  | { readonly absent: true }
  | { readonly present: true };

/** All must hold. */
export type Conditions = Readonly<Record<string, Test>>;

export type Write =
  /** Replaces the item or creates it; `unlessExists`: only creates. */
  | { readonly op: 'put'; readonly item: Item; readonly unlessExists?: boolean; readonly if?: Conditions }
  /**
   * Changes top-level attributes of an existing item; `upsert`: creates it when it is missing. `add` counts from 0, in
   * safe integers. Both keys of an index are set or removed together.
   */
  | {
      readonly op: 'update';
      readonly key: Key;
      readonly upsert?: boolean;
      readonly if?: Conditions;
      readonly set?: Readonly<Record<string, Value>>;
      readonly add?: Readonly<Record<string, number>>;
      readonly remove?: readonly string[];
    }
  /** Without `if`, deleting a missing item is fine. */
  | { readonly op: 'delete'; readonly key: Key; readonly if?: Conditions }
  /** Changes nothing; `if: 'missing'` demands that there is no such item. */
  | { readonly op: 'check'; readonly key: Key; readonly if: Conditions | 'missing' };

/**
 * `item`: as it is after the write (none after a delete), or, when the conditions did not hold, as it was found
 * (none if it is missing): so that "not found" and "wrong state" are told apart without another read.
 */
export type WriteResult = { readonly ok: true; readonly item?: Item } | { readonly ok: false; readonly item?: Item };

/** Which writes' conditions did not hold, by index, with the items found. Nothing was written then. */
export type TransactResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly failed: readonly { readonly index: number; readonly item?: Item }[] };

export interface Query {
  readonly pk: string;
  /** Reads an index (eventually consistent; equal sort keys in any order) instead of the table (strongly consistent). */
  readonly index?: IndexName;
  /** Only sort keys that begin so. */
  readonly prefix?: string;
  /** Only sort keys from the first to the last of these, both included; without `prefix` and `after`. */
  readonly between?: readonly [first: string, last: string];
  /** Only sort keys after this one, which begins with `prefix`; with `descending`, before it. Base table only. */
  readonly after?: string;
  /** 1–1,000. */
  readonly limit: number;
  readonly descending?: boolean;
  /** Of the page before; `InvalidCursorError` if it is not one. */
  readonly cursor?: string;
}

export interface Page {
  readonly items: readonly Item[];
  /** There when more may follow. */
  readonly cursor?: string;
}

/** At most this many writes a transaction (DynamoDB). */
export const MAX_TRANSACTION_WRITES = 100;

/**
 * A table of items. A write is durable when its promise resolves. Keys sort by UTF-8 bytes.
 * Conflicts with other transactions are retried inside with jitter; when that fails for about two seconds,
 * `ServiceBusyError`. A request that breaks a bound above throws a plain Error: it is a defect.
 */
export interface Table {
  /** Strongly consistent. */
  get(key: Key): Promise<Item | undefined>;
  query(query: Query): Promise<Page>;
  write(write: Write): Promise<WriteResult>;
  /** All or nothing; one write per item, 1–100 of them. */
  transact(writes: readonly Write[]): Promise<TransactResult>;
  /** Unconditional puts in any number and any order, not atomic; safe to repeat. */
  putAll(items: readonly Item[]): Promise<void>;
}

/** An item before and after a write, from the table's change feed. */
export interface Change {
  /** Decimal digits, of one length in a table: compare as strings. It grows from change to change of one partition key. */
  readonly seq: string;
  readonly key: Key;
  readonly before?: Item;
  readonly after?: Item;
}

/**
 * Gets changes at least once, those of one partition key in order. A throw has the whole batch delivered again;
 * `retryFrom` the changes from that `seq` on.
 */
export type ChangeConsumer = (changes: readonly Change[]) => Promise<{ readonly retryFrom: string } | undefined>;
