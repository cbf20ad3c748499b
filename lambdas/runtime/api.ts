import type { TenantId } from '../../contract/common.ts';
import type { Role, Scope } from '../../contract/keys.ts';
import type { Context, Operation, OperationInput, OperationOutput, OperationsOf } from '../../contract/routes.ts';

/** Who calls: every credential resolves to this. */
export interface Caller {
  readonly tenantId: TenantId;
  readonly principalId: string;
  readonly role: Role;
  readonly scopes: readonly Scope[];
  /** The root secret: it may name any tenant, on the keys routes alone. */
  readonly root: boolean;
}

/** Tells who calls from the `Authorization` header; `UnauthenticatedError` if it holds no valid credential. */
export type Authenticate = (authorization: string | undefined) => Promise<Caller>;

export interface Request<O extends Operation> extends OperationInput<O> {
  readonly caller: Caller;
  readonly requestId: string;
  /** Aborted when the client no longer waits for the answer; undefined where nobody can know, as in a Lambda. */
  readonly signal?: AbortSignal | undefined;
  /** Whether any body bytes came along, for routes that take none. */
  readonly hasBodyBytes: boolean;
}

export interface Reply<O extends Operation> {
  readonly status: number;
  readonly body?: OperationOutput<O>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers one operation; throws `DomainError` for what the caller can mend. */
export type Handler<O extends Operation> = (request: Request<O>) => Promise<Reply<O>>;

/** One handler per operation of a context: the compiler finds a route without one. */
export type Handlers<C extends Context> = { readonly [O in OperationsOf<C>]: Handler<O> };
