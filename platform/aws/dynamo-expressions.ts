import type { AttributeValue, TransactWriteItem } from '@aws-sdk/client-dynamodb';
import type { Conditions, Test, Value, Write } from '../ports/table.ts';
import { toAttribute, toAttributes } from './dynamo-values.ts';

/** A write as a transaction has it; the requests of single writes have the same fields. */
export function transactItemOf(TableName: string, write: Write): TransactWriteItem {
  const operands = new Operands();
  const ConditionExpression = conditionOf(write, operands);
  const UpdateExpression = write.op === 'update' ? updateOf(write, operands) : '';
  const request = {
    TableName,
    ...(ConditionExpression ? { ConditionExpression } : {}),
    ...operands.request(),
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const,
  };
  if (write.op === 'put') return { Put: { ...request, Item: toAttributes(write.item) } };
  const Key = toAttributes({ pk: write.key.pk, sk: write.key.sk });
  if (write.op === 'delete') return { Delete: { ...request, Key } };
  if (write.op === 'update') return { Update: { ...request, Key, UpdateExpression } };
  return { ConditionCheck: { ...request, Key, ConditionExpression } };
}

/** Names and values are referred to by number: any text may be a name, and some are reserved words. */
export class Operands {
  readonly #names: string[] = [];
  readonly #values: AttributeValue[] = [];

  name(name: string): string {
    return `#${this.#names.push(name) - 1}`;
  }

  value(value: Value): string {
    return `:${this.#values.push(toAttribute(value)) - 1}`;
  }

  /** DynamoDB refuses empty ones. */
  request(): {
    ExpressionAttributeNames?: Record<string, string>;
    ExpressionAttributeValues?: Record<string, AttributeValue>;
  } {
    const numbered = <T>(sign: string, operands: readonly T[]) =>
      Object.fromEntries(operands.map((operand, index) => [sign + index, operand]));
    return {
      ...(this.#names.length > 0 ? { ExpressionAttributeNames: numbered('#', this.#names) } : {}),
      ...(this.#values.length > 0 ? { ExpressionAttributeValues: numbered(':', this.#values) } : {}),
    };
  }
}

function conditionOf(write: Write, operands: Operands): string {
  const missing = write.if === 'missing' || (write.op === 'put' && write.unlessExists);
  const present = write.op === 'update' && !write.upsert;
  const conditions: Conditions = write.if === 'missing' ? {} : (write.if ?? {});
  return [
    ...(missing ? ['attribute_not_exists(pk)'] : []),
    ...(present ? ['attribute_exists(pk)'] : []),
    ...Object.entries(conditions).map(([name, test]) => testOf(operands.name(name), test, operands)),
  ].join(' AND ');
}

function testOf(name: string, test: Test, operands: Operands): string {
  if (Array.isArray(test)) return `${name} IN (${test.map((scalar) => operands.value(scalar)).join(', ')})`;
  if (typeof test !== 'object') return `${name} = ${operands.value(test)}`;
  if ('lt' in test) return `${name} < ${operands.value(test.lt)}`;
  if ('gt' in test) return `${name} > ${operands.value(test.gt)}`;
  return `${'absent' in test ? 'attribute_not_exists' : 'attribute_exists'}(${name})`;
}

function updateOf({ set = {}, add = {}, remove = [] }: Write & { op: 'update' }, operands: Operands): string {
  const clauses = {
    SET: Object.entries(set).map(([name, value]) => `${operands.name(name)} = ${operands.value(value)}`),
    ADD: Object.entries(add).map(([name, amount]) => `${operands.name(name)} ${operands.value(amount)}`),
    REMOVE: remove.map((name) => operands.name(name)),
  };
  return Object.entries(clauses)
    .flatMap(([verb, changes]) => (changes.length > 0 ? [`${verb} ${changes.join(', ')}`] : []))
    .join(' ');
}
