import * as z from 'zod/mini';
import { MarketplaceAccount, Product } from '../../contract/publishing.ts';
import { publishing } from '../../contract/workflows/publishing.ts';
import type { Value } from '../../platform/ports/table.ts';
import { defineTask, type TaskContext, type TaskDefinition } from '../jobs/public.ts';
import { askBridge } from './bridge.ts';
import { holdListing, releaseListing } from './claims.ts';
import type { PublishingServices } from './deps.ts';
import type { Connector, ListingRun } from './marketplaces/connector.ts';
import { ebayAuth, ebayConnector } from './marketplaces/ebay.ts';
import { etsyAuth, etsyConnector } from './marketplaces/etsy.ts';
import { createSend } from './marketplaces/http.ts';
import { RULES } from './marketplaces/rules.ts';
import { type Credentials, createSession } from './marketplaces/session.ts';
import { vintedConnector } from './marketplaces/vinted.ts';
import { secretName } from './records.ts';

export type PublishingContext = TaskContext<z.output<typeof publishing.input>>;

/** What `validate` found, for the tasks after it and the state machine: the product as it is published. */
const Validated = z.object({
  product: Product,
  account: MarketplaceAccount,
  /** Items of the Map over images. */
  items: z.array(z.int()),
  listing_first: z.boolean(),
});

export const servicesOf = ({ services }: Pick<PublishingContext, 'services'>) => services as PublishingServices;

/** Defines a task that works on the job's listing, with the connector of its account. */
export function defineListingTask(
  step: string,
  run: (ctx: PublishingContext, connector: Connector) => Promise<Value>,
): TaskDefinition {
  return defineTask(publishing, step, async (ctx) => {
    const [validated] = await ctx.outputs('validate');
    const { product, account } = Validated.parse(validated?.output);
    const listing: ListingRun = {
      product,
      once: (name, ask, act) => ctx.once(name, async () => (await ask()) ?? act()),
    };
    const connector = openConnector(ctx, step, listing, account);
    // Vinted's are claimed by the commands. To verify changes nothing.
    if (account.marketplace === 'vinted' || step === 'verify') return run(ctx, connector);
    const services = servicesOf(ctx);
    const claimed = { tenantId: ctx.tenantId, accountId: account.id, productId: product.id };
    const output = await holdListing(services, claimed, ctx.jobId, () => run(ctx, connector));
    if (step === 'publish') await releaseListing(services, claimed, ctx.jobId);
    return output;
  });
}

function openConnector(ctx: PublishingContext, step: string, run: ListingRun, account: MarketplaceAccount): Connector {
  const services = servicesOf(ctx);
  const { marketplaces } = services;
  if (account.marketplace === 'vinted') {
    const task = ctx.item === undefined ? step : `${step}-${ctx.item}`;
    const { tenantId, jobId, attempt } = ctx;
    const command = { tenantId, jobId, attempt, task, accountId: account.id, productId: run.product.id };
    return vintedConnector(run, account, (more) => askBridge(services, { ...command, ...more }));
  }
  if (account.marketplace === 'ebay') {
    const { ebay_url: api, ebay_media_url: media } = marketplaces;
    const refreshRequest = (credentials: Credentials) => ebayAuth.refreshRequest(api, credentials);
    const session = openSession(ctx, account, { refreshRequest, headers: ebayAuth.headers });
    return ebayConnector(run, account, session.send, { api, media });
  }
  const refreshRequest = (credentials: Credentials) => etsyAuth.refreshRequest(marketplaces.etsy_url, credentials);
  const session = openSession(ctx, account, { refreshRequest, headers: etsyAuth.headers });
  return etsyConnector(run, account, session.send, marketplaces.etsy_url);
}

function openSession(
  ctx: PublishingContext,
  account: MarketplaceAccount,
  auth: Pick<Parameters<typeof createSession>[0], 'refreshRequest' | 'headers'>,
) {
  const { secrets, clock, marketplaces } = servicesOf(ctx);
  const send = createSend({
    marketplace: RULES[account.marketplace].name,
    timeoutSeconds: marketplaces.timeout_seconds,
    signal: ctx.signal,
    remaining: ctx.remaining,
    heartbeat: ctx.heartbeat,
    redact: (text) => session.redact(text),
  });
  const name = secretName(ctx.tenantId, account.id);
  const session = createSession({ secrets, clock, send, heartbeat: ctx.heartbeat, secretName: name, ...auth });
  return session;
}

/** The output of the one task of a step. */
export async function outputOf<Output>(
  ctx: PublishingContext,
  step: string,
  schema: z.ZodMiniType<Output>,
): Promise<Output> {
  const [done] = await ctx.outputs(step);
  return schema.parse(done?.output);
}
