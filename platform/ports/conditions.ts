import type { Conditions, Item, Scalar, Test, Value } from './table.ts';

/** Orders strings by their UTF-8 bytes, as keys are sorted; JavaScript's own order is by UTF-16 units. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Whether an item (or a missing one) fulfils all conditions, by DynamoDB's rules. */
export function conditionsHold(conditions: Conditions, item: Item | undefined): boolean {
  return Object.entries(conditions).every(([name, test]) =>
    testHolds(test, item && Object.hasOwn(item, name) ? item[name] : undefined),
  );
}

function testHolds(test: Test, value: Value | undefined): boolean {
  if (Array.isArray(test)) return test.some((scalar) => scalar === value);
  if (typeof test !== 'object') return test === value;
  if ('absent' in test) return value === undefined;
  if ('present' in test) return value !== undefined;
  if ('lt' in test) return compareScalars(value, test.lt) < 0;
  if ('gt' in test) return compareScalars(value, test.gt) > 0;
  return false;
}

/** NaN, which is neither below nor above 0, for values of different types. */
function compareScalars(value: Value | undefined, bound: Scalar): number {
  if (typeof value === 'number' && typeof bound === 'number') return value - bound;
  if (typeof value === 'string' && typeof bound === 'string') return compareBytes(value, bound);
  return Number.NaN;
}
