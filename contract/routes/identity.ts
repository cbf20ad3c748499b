import * as z from 'zod/mini';
import { KeyId, PageQuery, pageOf } from '../common.ts';
import { context } from '../context.ts';
import { ApiKey, CreatedKey, CreateKey } from '../keys.ts';
import { route } from './route.ts';

/** API keys and health. */
const identityRoutes = {
  createKey: route({
    method: 'POST',
    path: '/keys',
    summary: 'Create an API key',
    auth: 'root',
    body: CreateKey,
    responses: { 201: CreatedKey },
    errors: [],
  }),
  listKeys: route({
    method: 'GET',
    path: '/keys',
    summary: 'List the API keys of the tenant',
    auth: 'root',
    query: z.extend(PageQuery, { tenant_id: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 200: pageOf(ApiKey) },
    errors: ['InvalidCursorError'],
  }),
  revokeKey: route({
    method: 'DELETE',
    path: '/keys/{key_id}',
    summary: 'Revoke an API key; it stops working within 60 seconds',
    auth: 'root',
    params: z.object({ key_id: KeyId }),
    query: z.object({ tenant_id: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 204: null },
    errors: ['KeyNotFoundError'],
  }),
  getHealth: route({
    method: 'GET',
    path: '/health',
    summary: 'Check that the service is available',
    auth: 'none',
    responses: { 200: z.object({ status: z.literal('ok'), version: z.string() }) },
    errors: [],
  }),
} as const;

export const identity = context({
  name: 'identity',
  description: 'API keys and the health check.',
  routes: identityRoutes,
  table: {},
  settings: ['issuers'],
});
