import { isDeepStrictEqual } from 'node:util';
import type * as z from 'zod/mini';
import type { TenantId } from '../../contract/common.ts';
import { DomainError, ERRORS, type ErrorBody } from '../../contract/errors.ts';
import type { AnyRoute } from '../../contract/routes/route.ts';
import type { Context, Operation, OperationInput } from '../../contract/routes.ts';
import type { Authenticate, Caller, Handler, Handlers, Reply } from './api.ts';
import { parseJsonBody } from './json-body.ts';
import type { Log } from './log.ts';
import { type Problem, problemsOf, validationError } from './validation.ts';

/** A request as every platform has it once it has matched the path. */
export interface RawRequest {
  readonly method: string;
  /** The path template of the contract, such as `/uploads/{upload_id}`. */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  /** Every value of a name, in order. */
  readonly query: Readonly<Record<string, readonly string[]>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly hasBodyBytes: boolean;
  /** Called at most once, after the caller is known, and only for a route that takes a body. */
  readonly readBody: () => Promise<string | Uint8Array>;
  readonly requestId: string;
  /** Aborted when the client no longer waits for the answer. */
  readonly signal?: AbortSignal;
}

export interface RawResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type HttpApi = (request: RawRequest) => Promise<RawResponse>;

/** What the log line of a request tells, found out step by step. */
interface Trace {
  operation?: Operation;
  caller?: Caller;
}

const NOBODY: Caller = {
  tenantId: '' as TenantId,
  principalId: 'nobody',
  role: 'viewer',
  scopes: [],
  root: false,
};

/** Answers the operations that it is given handlers for. It never throws: what goes wrong is an error body. */
export function createHttpApi({
  routes,
  handlers,
  authenticate,
  log,
  validateResponses = false,
}: {
  routes: Readonly<Record<string, AnyRoute>>;
  handlers: Partial<Handlers<Context>>;
  authenticate: Authenticate;
  log: Log;
  /** Makes an answer that its route's schema doesn't describe a defect; for tests and development. */
  validateResponses?: boolean;
}): HttpApi {
  const operations = new Map(
    Object.entries(routes)
      .filter(([name]) => name in handlers)
      .map(([name, route]) => [`${route.method} ${route.path}`, { name: name as Operation, route }]),
  );

  async function answer(request: RawRequest, trace: Trace): Promise<RawResponse> {
    const found = operations.get(`${request.method} ${request.path}`);
    if (!found) throw new DomainError('RouteNotFoundError', `${request.method} ${request.path} does not exist`);
    const { name: operation, route } = found;
    trace.operation = operation;
    const caller = route.auth === 'none' ? NOBODY : await authenticate(request.headers.authorization);
    trace.caller = caller;
    checkAllowed(caller, route.auth);
    const input = await parseInput(route, request);
    // Which operation it is, is known only now: the input was parsed by that operation's own schemas.
    const handle = handlers[operation] as Handler<Operation>;
    const { requestId, hasBodyBytes, signal } = request;
    const reply = await handle({ ...input, caller, requestId, hasBodyBytes, signal });
    if (validateResponses) checkReply(operation, route, reply);
    return respond(reply.status, reply.body, requestId, reply.headers);
  }

  return async (request) => {
    const started = performance.now();
    const trace: Trace = {};
    let failure: unknown;
    const response = await answer(request, trace).catch((error: unknown) => {
      failure = error;
      return errorResponse(error, request.requestId);
    });
    const fields = {
      operation: trace.operation,
      status: response.status,
      ms: Math.round(performance.now() - started),
      tenant_id: trace.caller?.tenantId || undefined,
      principal_id: trace.caller?.principalId,
      request_id: request.requestId,
      code: failure instanceof DomainError ? failure.code : undefined,
    };
    if (response.status >= 500) log.error('request failed', { ...fields, error: failure });
    else log.info('request', fields);
    return response;
  };
}

function checkAllowed(caller: Caller, needed: AnyRoute['auth']): void {
  if (needed === 'none') return;
  if (caller.root && needed !== 'root') {
    throw new DomainError(
      'ForbiddenError',
      'the root secret can only create, list and revoke API keys; use an API key',
    );
  }
  const scope = needed === 'root' ? 'keys:write' : needed;
  if (!caller.scopes.includes(scope)) {
    throw new DomainError('ForbiddenError', `the credential lacks the scope ${scope}`, { scope });
  }
}

async function parseInput(route: AnyRoute, request: RawRequest): Promise<OperationInput<Operation>> {
  const params = route.params.safeParse(request.params);
  if (!params.success) throw unknownId(route);

  const problems: Problem[] = [];
  const parse = (schema: z.ZodMiniType, value: unknown, whole: string): unknown => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) problems.push(...problemsOf(parsed.error, whole));
    return parsed.data;
  };
  const query = parse(route.query, singleValues(request.query, problems), 'query');
  const headers = parse(route.headers, request.headers, 'headers');
  const body = route.body
    ? parse(route.body, parseJsonBody(await request.readBody(), request.headers['content-type']), 'body')
    : undefined;
  if (problems.length > 0) throw validationError(problems);
  return { params: params.data, query, headers, body } as OperationInput<Operation>;
}

/** A malformed id is answered as an unknown one is. */
function unknownId(route: AnyRoute): DomainError {
  const code = route.errors.find((code) => code.endsWith('NotFoundError')) ?? 'RouteNotFoundError';
  return new DomainError(code, ERRORS[code].meaning);
}

function singleValues(query: RawRequest['query'], problems: Problem[]): Record<string, string | undefined> {
  const single: Record<string, string | undefined> = Object.create(null);
  for (const [field, values] of Object.entries(query)) {
    single[field] = values[0];
    if (values.length > 1) problems.push({ field, problem: 'must not be given more than once' });
  }
  return single;
}

function checkReply(operation: Operation, route: AnyRoute, reply: Reply<Operation>): void {
  const schema = route.responses[reply.status];
  if (schema === undefined) throw new Error(`${operation} answers ${reply.status}, which its route doesn't list`);
  if (schema === null) {
    if (reply.body !== undefined) throw new Error(`${operation} answers ${reply.status} with a body`);
    return;
  }
  const sent: unknown = JSON.parse(JSON.stringify(reply.body ?? null));
  // What the schema drops is not for clients to see.
  if (!isDeepStrictEqual(schema.parse(sent), sent)) {
    throw new Error(`${operation} answers ${reply.status} with fields that its schema doesn't have`);
  }
}

/** The answer to whatever was thrown: a `DomainError` tells itself, anything else tells nothing. */
export function errorResponse(
  error: unknown,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
): RawResponse {
  const known =
    error instanceof DomainError
      ? error
      : new DomainError('InternalError', 'internal error; the log of the service has the details');
  const { status } = ERRORS[known.code];
  const body: ErrorBody = {
    error: known.code,
    message: known.message,
    details: known.details,
    request_id: requestId,
  };
  return respond(status, body, requestId, {
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...retryAfter(known, status),
    ...headers,
  });
}

/** Errors that may be retried at a known time say when; other errors of a busy service, soon. */
function retryAfter({ details }: DomainError, status: number): Readonly<Record<string, string>> {
  const seconds = details.retry_after_seconds ?? (status === 429 || status === 503 ? 1 : undefined);
  return seconds === undefined ? {} : { 'retry-after': String(seconds) };
}

function respond(
  status: number,
  body: unknown,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
): RawResponse {
  return {
    status,
    headers: {
      'x-request-id': requestId,
      'cache-control': 'no-store',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'location, retry-after, x-request-id',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? '' : JSON.stringify(body),
  };
}
