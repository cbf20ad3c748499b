import { DomainError } from '../../contract/errors.ts';
import { MAX_BODY_BYTES } from '../../contract/limits.ts';
import { validationError } from './validation.ts';

/** DynamoDB stores values nested up to 32 deep; this leaves room for what is stored around them. */
const MAX_DEPTH = 24;

/** Parses a request body; an empty one is `{}`. What no store could keep as it is, is refused here, once for all routes. */
export function parseJsonBody(body: string | Uint8Array, contentType: string | undefined): unknown {
  if (Buffer.byteLength(body) > MAX_BODY_BYTES) throw bodyTooLarge();
  if (body.length === 0) return {};
  if (contentType !== undefined && !/^application\/json\s*(;|$)/i.test(contentType)) {
    throw bodyProblem(`must be sent with content-type: application/json, not ${contentType.slice(0, 100)}`);
  }
  const value = parse(body);
  const problem = findProblem(value);
  if (problem !== undefined) throw bodyProblem(problem);
  return value;
}

export function bodyTooLarge(): DomainError {
  return new DomainError('PayloadTooLargeError', `the request body exceeds ${MAX_BODY_BYTES} bytes`, {
    max_bytes: MAX_BODY_BYTES,
  });
}

function parse(body: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw bodyProblem(error instanceof SyntaxError ? 'must be JSON' : 'must be UTF-8');
  }
}

/** Why no table could keep a parsed JSON value as it is. */
export function findProblem(value: unknown, depth = 0): string | undefined {
  if (depth > MAX_DEPTH) return `must not be nested deeper than ${MAX_DEPTH} levels`;
  if (typeof value === 'string') return value.isWellFormed() ? undefined : 'must contain well-formed Unicode only';
  if (typeof value === 'number')
    return isStorable(value) ? undefined : 'must not contain numbers that are too large or too small';
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__' || name === '') return `must not contain a member named ${JSON.stringify(name)}`;
    const problem = findProblem(name, depth) ?? findProblem(member, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** DynamoDB keeps numbers from 1e-130 to 9.99e125. */
function isStorable(value: number): boolean {
  const size = Math.abs(value);
  return value === 0 || (size >= 1e-130 && size <= 9.99e125);
}

function bodyProblem(problem: string): DomainError {
  return validationError([{ field: 'body', problem }]);
}
