import * as z from 'zod/mini';
import { PageQuery, pageOf } from '../common.ts';
import { context } from '../context.ts';
import { MAX_EVENT_WAIT_SECONDS } from '../limits.ts';
import {
  BridgeAnswer,
  BridgeCommand,
  CommandId,
  CreateMarketplaceAccount,
  CreateProduct,
  MarketplaceAccount,
  MarketplaceAccountId,
  Product,
  ProductId,
  RenewMarketplaceCredentials,
} from '../publishing.ts';
import { idempotent, route } from './route.ts';

const productParams = z.object({ product_id: ProductId });
const accountParams = z.object({ account_id: MarketplaceAccountId });
const commandParams = z.object({ command_id: CommandId });
const Ulid = z.string().check(z.regex(/^[0-9A-Z]{26}$/));
const ReceiveCommands = z.object({
  /** `next_cursor` of the answer before; without it, as after a start, everything that waits is received. */
  after: z.optional(Ulid),
  /** Only commands of this account, for a bridge that works for one of several. */
  account_id: z.optional(MarketplaceAccountId),
  /** How long to wait for a command if there is none yet. */
  wait_seconds: z._default(z.int().check(z.minimum(0), z.maximum(MAX_EVENT_WAIT_SECONDS)), 0),
  limit: z._default(z.int().check(z.minimum(1), z.maximum(100)), 10),
});

/** `claim`: the command's, which has a bridge that was away told when another has got it. */
const HeartbeatQuery = z.object({ claim: z.optional(Ulid) });

/** Products, marketplace accounts and the bridge. */
const publishingRoutes = {
  createProduct: route({
    method: 'POST',
    path: '/products',
    summary: 'Create a product to publish',
    auth: 'products:write',
    headers: idempotent,
    body: CreateProduct,
    responses: { 201: Product, 200: Product },
    errors: ['FileNotFoundError', 'IdempotencyConflictError'],
  }),
  listProducts: route({
    method: 'GET',
    path: '/products',
    summary: 'List products, newest first',
    auth: 'products:read',
    query: PageQuery,
    responses: { 200: pageOf(Product) },
    errors: ['InvalidCursorError'],
  }),
  getProduct: route({
    method: 'GET',
    path: '/products/{product_id}',
    summary: 'Get a product',
    auth: 'products:read',
    params: productParams,
    responses: { 200: Product },
    errors: ['ProductNotFoundError'],
  }),
  deleteProduct: route({
    method: 'DELETE',
    path: '/products/{product_id}',
    summary: 'Delete a product; its listings and files stay',
    auth: 'products:write',
    params: productParams,
    responses: { 204: null },
    errors: ['ProductNotFoundError'],
  }),
  createMarketplaceAccount: route({
    method: 'POST',
    path: '/marketplace-accounts',
    summary: 'Connect a marketplace account; its credentials are never returned',
    auth: 'products:write',
    body: CreateMarketplaceAccount,
    responses: { 201: MarketplaceAccount },
    errors: [],
  }),
  listMarketplaceAccounts: route({
    method: 'GET',
    path: '/marketplace-accounts',
    summary: 'List marketplace accounts, newest first',
    auth: 'products:read',
    query: PageQuery,
    responses: { 200: pageOf(MarketplaceAccount) },
    errors: ['InvalidCursorError'],
  }),
  getMarketplaceAccount: route({
    method: 'GET',
    path: '/marketplace-accounts/{account_id}',
    summary: 'Get a marketplace account, without its credentials',
    auth: 'products:read',
    params: accountParams,
    responses: { 200: MarketplaceAccount },
    errors: ['MarketplaceAccountNotFoundError'],
  }),
  renewMarketplaceCredentials: route({
    method: 'PUT',
    path: '/marketplace-accounts/{account_id}/credentials',
    summary: 'Replace the credentials of a marketplace account',
    auth: 'products:write',
    params: accountParams,
    body: RenewMarketplaceCredentials,
    responses: { 204: null },
    errors: ['MarketplaceAccountNotFoundError'],
  }),
  deleteMarketplaceAccount: route({
    method: 'DELETE',
    path: '/marketplace-accounts/{account_id}',
    summary: 'Disconnect a marketplace account and delete its credentials',
    auth: 'products:write',
    params: accountParams,
    responses: { 204: null },
    errors: ['MarketplaceAccountNotFoundError'],
  }),
  receiveCommands: route({
    method: 'POST',
    path: '/bridge/commands/receive',
    summary: 'Receive the next commands, which no other bridge receives for 20 s; can wait for one',
    auth: 'bridge:write',
    body: ReceiveCommands,
    responses: { 200: z.object({ items: z.array(BridgeCommand), next_cursor: z.optional(z.string()) }) },
    errors: [],
  }),
  heartbeatCommand: route({
    method: 'POST',
    path: '/bridge/commands/{command_id}/heartbeat',
    summary: 'Send a heartbeat for a command, every 5 s; without one, another bridge may receive it after 20 s',
    auth: 'bridge:write',
    params: commandParams,
    query: HeartbeatQuery,
    /** `wanted`: false when nobody waits for it any more, since its job was cancelled; or when another bridge has it. */
    responses: { 200: z.object({ wanted: z.boolean() }) },
    errors: ['CommandNotFoundError'],
  }),
  answerCommand: route({
    method: 'POST',
    path: '/bridge/commands/{command_id}/answer',
    summary: 'Answer a command with its outcome; safe to repeat',
    auth: 'bridge:write',
    params: commandParams,
    body: BridgeAnswer,
    responses: { 204: null },
    errors: ['CommandNotFoundError'],
  }),
} as const;

export const publishing = context({
  name: 'publishing',
  description: "Products, marketplace accounts, and the commands of a seller's bridge.",
  routes: publishingRoutes,
  api: { memoryMiB: 1_024 },
  table: {},
  reads: ['uploads'],
  settings: ['marketplaces'],
});
