import * as z from 'zod/mini';
import { IdempotencyKey } from '../common.ts';
import type { ErrorCode } from '../errors.ts';
import type { Scope } from '../keys.ts';

type Shape = z.ZodMiniObject;
type BodyShape = Shape | z.ZodMiniDiscriminatedUnion;
const nothing = z.object({});

interface RouteSpec {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** API Gateway's form, `{name}` for a path parameter. */
  path: `/${string}`;
  summary: string;
  /** `none`: no credential needed; `root`: the root secret or a credential with `keys:write`. */
  auth: Scope | 'none' | 'root';
  params?: Shape;
  query?: Shape;
  /** Names in lower case. */
  headers?: Shape;
  body?: BodyShape;
  /** Status and body of each success; a schema of null for none. */
  responses: Readonly<Record<number, z.ZodMiniType | null>>;
  errors: readonly ErrorCode[];
}

/** A route of whatever schemas, as `route` makes it. */
export type AnyRoute = Required<Omit<RouteSpec, 'body'>> & {
  readonly body: BodyShape | undefined;
  readonly hasBody: boolean;
};

export function route<
  Params extends Shape = typeof nothing,
  Query extends Shape = typeof nothing,
  Headers extends Shape = typeof nothing,
  Body extends BodyShape = typeof nothing,
  const Responses extends Readonly<Record<number, z.ZodMiniType | null>> = Readonly<
    Record<number, z.ZodMiniType | null>
  >,
>(
  spec: Omit<RouteSpec, 'params' | 'query' | 'headers' | 'body' | 'responses'> & {
    params?: Params;
    query?: Query;
    headers?: Headers;
    body?: Body;
    responses: Responses;
  },
) {
  return {
    ...spec,
    params: spec.params ?? (nothing as unknown as Params),
    query: spec.query ?? (nothing as unknown as Query),
    headers: spec.headers ?? (nothing as unknown as Headers),
    /** Undefined for a route that takes no body. */
    body: spec.body as Body,
    hasBody: spec.body !== undefined,
  };
}

export const idempotent = z.object({ 'idempotency-key': z.optional(IdempotencyKey) });
