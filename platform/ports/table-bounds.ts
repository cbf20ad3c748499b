import { compareBytes } from './conditions.ts';
import {
  type Conditions,
  type Item,
  type Key,
  MAX_TRANSACTION_WRITES,
  type Query,
  type Value,
  type Write,
} from './table.ts';

/** DynamoDB's 400 KB. */
const MAX_ITEM_BYTES = 400 * 1024;
/** Of all that the writes of one transaction carry: DynamoDB's 4 MB. */
const MAX_TRANSACTION_BYTES = 4 * 1024 * 1024;
/** A page of a query ends when it holds this much: DynamoDB's 1 MB. */
export const MAX_PAGE_BYTES = 1024 * 1024;
const MAX_PAGE_ITEMS = 1_000;
const MAX_KEY_BYTES = 1_024;
const MAX_NAME_BYTES = 255;
/** Containers within containers: DynamoDB's 32 without the item itself. */
const MAX_DEPTH = 31;
const MAX_ALTERNATIVES = 100;
/** Names and values in one write's conditions and changes: 200 × 18 characters stay below an expression's 4 KB. */
const MAX_OPERANDS = 200;
/** DynamoDB's range of numbers other than 0; every double has less than its 38 digits. */
const MIN_MAGNITUDE = 1e-130;
const MAX_MAGNITUDE = 9.99e125;
/** Year 5138; above it somebody gave milliseconds. */
const MAX_TTL_SECONDS = 1e11;

const INDEX_KEYS = ['g1pk', 'g1sk', 'g2pk', 'g2sk'];

function refuse(reason: string): never {
  throw new Error(`table: ${reason}`);
}

function checkText(text: string, what: string): void {
  if (!text.isWellFormed()) refuse(`${what} is not well-formed Unicode`);
}

function checkKeyText(text: unknown, what: string): void {
  if (typeof text !== 'string' || text === '') refuse(`${what} is not a non-empty string`);
  checkText(text, what);
  if (Buffer.byteLength(text) > MAX_KEY_BYTES) refuse(`${what} is longer than ${MAX_KEY_BYTES} bytes`);
}

/** Also of members within values. */
function checkName(name: string): void {
  checkText(name, 'a name');
  if (name === '') refuse('a name is empty');
  // The AWS SDK loses one on the way back: it assigns the members of an answer.
  if (name === '__proto__') refuse('a name is __proto__');
}

function checkAttributeName(name: string): void {
  checkName(name);
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) refuse(`an attribute name is longer than ${MAX_NAME_BYTES} bytes`);
}

function checkNumber(value: number): void {
  const magnitude = Math.abs(value);
  if (value !== 0 && !(magnitude >= MIN_MAGNITUDE && magnitude <= MAX_MAGNITUDE)) refuse(`${value} is out of range`);
}

/** Checks a value and answers its size as DynamoDB counts it, rounded up. */
function measure(value: unknown, depth = 1): number {
  if (value === null || typeof value === 'boolean') return 1;
  if (typeof value === 'string') {
    checkText(value, 'a string');
    return Buffer.byteLength(value);
  }
  if (typeof value === 'number') {
    checkNumber(value);
    // A sign, an exponent and a byte for two digits; a double has up to 17.
    return 2 + Math.ceil(Math.min(String(value).length, 17) / 2);
  }
  if (typeof value !== 'object') refuse(`a value is of type ${typeof value}`);
  if (depth > MAX_DEPTH) refuse(`values nest deeper than ${MAX_DEPTH}`);
  let sizeBytes = 3;
  if (Array.isArray(value)) {
    for (const part of value) sizeBytes += 1 + measure(part, depth + 1);
    return sizeBytes;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse('a value is an instance of a class');
  for (const [name, part] of Object.entries(value)) {
    checkName(name);
    sizeBytes += 1 + Buffer.byteLength(name) + measure(part, depth + 1);
  }
  return sizeBytes;
}

/** Checks attributes as they are written, and answers their size. */
function measureAttributes(attributes: Readonly<Record<string, Value>>): number {
  let sizeBytes = 0;
  for (const [name, value] of Object.entries(attributes)) {
    checkAttributeName(name);
    if (INDEX_KEYS.includes(name)) checkKeyText(value, name);
    if (name === 'ttl' && !(Number.isInteger(value) && Number(value) >= 0 && Number(value) < MAX_TTL_SECONDS))
      refuse('ttl is not in epoch seconds');
    sizeBytes += Buffer.byteLength(name) + measure(value);
  }
  return sizeBytes;
}

/** An item has, and an update changes, both keys of an index or neither. */
function checkIndexKeys(names: readonly string[]): void {
  for (const index of ['g1', 'g2'])
    if (names.includes(`${index}pk`) !== names.includes(`${index}sk`)) refuse(`only one key of ${index} is given`);
}

/** Throws unless the key is one. */
export function checkKey(key: Key): void {
  checkKeyText(key.pk, 'pk');
  checkKeyText(key.sk, 'sk');
}

/** Throws unless the item is one that every platform takes; answers its size. */
export function checkItem(item: Item): number {
  checkKey(item);
  checkIndexKeys(Object.keys(item));
  const sizeBytes = measureAttributes(item);
  if (sizeBytes > MAX_ITEM_BYTES) refuse(`the item has ${sizeBytes} bytes, more than ${MAX_ITEM_BYTES}`);
  return sizeBytes;
}

/** Checks conditions and answers how many names and values they hold. */
function checkConditions(conditions: Conditions): number {
  let operands = 0;
  for (const [name, test] of Object.entries(conditions)) {
    checkAttributeName(name);
    operands += 1;
    if (Array.isArray(test)) {
      if (test.length < 1 || test.length > MAX_ALTERNATIVES)
        refuse(`a condition has 1–${MAX_ALTERNATIVES} alternatives`);
      for (const scalar of test) checkScalar(scalar);
      operands += test.length;
    } else if (typeof test === 'object' && test !== null) {
      const [[operator, operand] = [], ...more] = Object.entries(test);
      const bound = operator === 'lt' || operator === 'gt';
      const existence = (operator === 'absent' || operator === 'present') && operand === true;
      if (more.length > 0 || !(bound || existence)) refuse(`the condition on ${name} is not one`);
      if (bound && typeof operand !== 'string' && typeof operand !== 'number')
        refuse('lt and gt take a number or string');
      measure(operand);
      operands += 1;
    } else {
      checkScalar(test);
      operands += 1;
    }
  }
  return operands;
}

function checkScalar(value: unknown): void {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    refuse(`a condition compares with ${value === null ? 'null' : typeof value}`);
  measure(value);
}

function checkUpdate(write: Write & { op: 'update' }): { sizeBytes: number; operands: number } {
  const { set = {}, add = {}, remove = [] } = write;
  const names = [...Object.keys(set), ...Object.keys(add), ...remove];
  if (names.length === 0) refuse('an update changes nothing');
  if (new Set(names).size < names.length) refuse('an update names an attribute twice');
  if (names.includes('pk') || names.includes('sk')) refuse('an update names pk or sk');
  for (const change of [Object.keys(set), remove]) checkIndexKeys(change);
  for (const name of remove) checkAttributeName(name);
  for (const [name, amount] of Object.entries(add)) {
    checkAttributeName(name);
    if (name === 'ttl' || INDEX_KEYS.includes(name)) refuse(`an update adds to ${name}`);
    if (!Number.isSafeInteger(amount)) refuse('add takes safe integers');
  }
  return { sizeBytes: measureAttributes(set), operands: 2 * names.length };
}

/** Throws unless the write is one that every platform takes; answers the bytes that it carries. */
export function checkWrite(write: Write): number {
  let sizeBytes = 0;
  let operands = 0;
  if (write.op === 'put') sizeBytes = checkItem(write.item);
  else checkKey(write.key);
  if (write.op === 'update') ({ sizeBytes, operands } = checkUpdate(write));
  if (sizeBytes > MAX_ITEM_BYTES) refuse(`the write has ${sizeBytes} bytes, more than ${MAX_ITEM_BYTES}`);

  const conditions = write.if === 'missing' ? { pk: { absent: true } as const } : (write.if ?? {});
  const tests = checkConditions(conditions);
  if (write.op === 'check' && tests === 0) refuse('a check has no condition');
  if (operands + tests > MAX_OPERANDS) refuse(`a write names more than ${MAX_OPERANDS} attributes and values`);
  return sizeBytes;
}

/** Throws unless the writes are a transaction that every platform takes. */
export function checkTransaction(writes: readonly Write[]): void {
  if (writes.length < 1 || writes.length > MAX_TRANSACTION_WRITES)
    refuse(`a transaction has 1–${MAX_TRANSACTION_WRITES} writes, not ${writes.length}`);
  const sizeBytes = writes.reduce((sum, write) => sum + checkWrite(write), 0);
  if (sizeBytes > MAX_TRANSACTION_BYTES) refuse(`the transaction has ${sizeBytes} bytes, more than 4 MB`);
  if (new Set(writes.map(keyTextOf)).size < writes.length) refuse('a transaction writes an item twice');
}

/** Tells items apart. */
function keyTextOf(write: Write): string {
  const { pk, sk } = write.op === 'put' ? write.item : write.key;
  return JSON.stringify([pk, sk]);
}

/** Throws unless the query is one; its cursor is looked at elsewhere. */
export function checkQuery(query: Query): void {
  checkKeyText(query.pk, 'pk');
  if (query.prefix) checkKeyText(query.prefix, 'prefix');
  if (query.after !== undefined) {
    checkKeyText(query.after, 'after');
    if (query.index) refuse('after is for the base table only');
    if (!query.after.startsWith(query.prefix ?? '')) refuse('after does not begin with the prefix');
  }
  if (query.between) {
    const [first, last] = query.between;
    checkKeyText(first, 'between');
    checkKeyText(last, 'between');
    if (compareBytes(first, last) > 0) refuse('between ends before it begins');
    if (query.prefix || query.after !== undefined) refuse('between goes with neither prefix nor after');
  }
  if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_PAGE_ITEMS)
    refuse(`limit is 1–${MAX_PAGE_ITEMS}, not ${query.limit}`);
}
