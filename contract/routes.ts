import type * as z from 'zod/mini';
import * as contexts from './contexts.ts';

type Contexts = typeof contexts;
type RoutesOf<C extends Context> = Contexts[C]['routes'];
type IntersectionOf<Union> = (Union extends unknown ? (_: Union) => void : never) extends (_: infer All) => void
  ? All
  : never;

/** The name of a context. */
export type Context = keyof Contexts;

export type Routes = IntersectionOf<RoutesOf<Context>>;
/** The operation id: `initUpload`, `getJob`, … */
export type Operation = keyof Routes;

/** Operations of one context. */
export type OperationsOf<C extends Context> = C extends Context ? keyof RoutesOf<C> & Operation : never;

/**
 * The API: the routes of all contexts. From this table come validation, API Gateway's resources, docs/openapi.json and the
 * client's types. A Lambda takes its own context's routes alone.
 */
export const routes = Object.assign({}, ...Object.values(contexts).map((context) => context.routes)) as Routes;

/** What a use case of an operation gets, parsed. */
export interface OperationInput<O extends Operation> {
  params: z.output<Routes[O]['params']>;
  query: z.output<Routes[O]['query']>;
  headers: z.output<Routes[O]['headers']>;
  body: z.output<Routes[O]['body']>;
}

type ResponseBody<T> = T extends z.ZodMiniType ? z.output<T> : undefined;

/** Any success body of an operation. */
export type OperationOutput<O extends Operation> = ResponseBody<Routes[O]['responses'][keyof Routes[O]['responses']]>;
