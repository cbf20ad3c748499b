import type * as z from 'zod/mini';
import { identityRoutes } from './routes/identity.ts';
import { jobsRoutes } from './routes/jobs.ts';
import { liveRoutes } from './routes/live.ts';
import { publishingRoutes } from './routes/publishing.ts';
import type { Context } from './routes/route.ts';
import { uploadsRoutes } from './routes/uploads.ts';
import { webhooksRoutes } from './routes/webhooks.ts';

export type { Context };

/**
 * The API. From this table come validation, API Gateway's resources, docs/openapi.json and the client's types. A Lambda
 * takes its own context's routes alone, which is why they are apart.
 */
export const routes = {
  ...uploadsRoutes,
  ...jobsRoutes,
  ...publishingRoutes,
  ...liveRoutes,
  ...webhooksRoutes,
  ...identityRoutes,
} as const;

export type Routes = typeof routes;
/** The operation id: `initUpload`, `getJob`, … */
export type Operation = keyof Routes;

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

/** Operations of one context. */
export type OperationsOf<C extends Context> = {
  [O in Operation]: Routes[O]['context'] extends C ? O : never;
}[Operation];
