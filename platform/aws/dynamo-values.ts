import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Value } from '../ports/table.ts';

// The SDK's own conversion makes bigints of large numbers, and is misled by a member that is named `constructor`.

export type Attributes = Record<string, AttributeValue>;

export function toAttribute(value: Value): AttributeValue {
  if (value === null) return { NULL: true };
  if (typeof value === 'string') return { S: value };
  if (typeof value === 'number') return { N: String(value) };
  if (typeof value === 'boolean') return { BOOL: value };
  if (isList(value)) return { L: value.map(toAttribute) };
  return { M: toAttributes(value) };
}

export function toAttributes(values: Readonly<Record<string, Value>>): Attributes {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toAttribute(value)]));
}

function fromAttribute(attribute: AttributeValue): Value {
  if (attribute.S !== undefined) return attribute.S;
  // 38 digits, of which a double's 17 come back exactly.
  if (attribute.N !== undefined) return Number(attribute.N);
  if (attribute.BOOL !== undefined) return attribute.BOOL;
  if (attribute.L !== undefined) return attribute.L.map(fromAttribute);
  if (attribute.M !== undefined) return fromAttributes(attribute.M);
  if (attribute.NULL !== undefined) return null;
  throw new Error(`a table holds no attributes of type ${Object.keys(attribute)}`);
}

export function fromAttributes(attributes: Attributes): Record<string, Value> {
  return Object.fromEntries(Object.entries(attributes).map(([name, attribute]) => [name, fromAttribute(attribute)]));
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}
