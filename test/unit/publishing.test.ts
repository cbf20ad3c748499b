import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { BridgeCommand, MarketplaceAccountId, MarketplaceSettings, ProductId } from '../../contract/publishing.ts';
import { publishing } from '../../contract/workflows/publishing.ts';
import {
  answerCommand,
  askBridge,
  type CommandToSend,
  heartbeatCommand,
  queueCommands,
  receiveCommands,
} from '../../lambdas/publishing/bridge.ts';
import type { PublishingDeps } from '../../lambdas/publishing/deps.ts';
import {
  createMarketplaceAccount,
  deleteMarketplaceAccount,
  getMarketplaceAccount,
} from '../../lambdas/publishing/marketplace-accounts.ts';
import { decimalOf } from '../../lambdas/publishing/marketplaces/connector.ts';
import { completePublishingInput, createProduct } from '../../lambdas/publishing/products.ts';
import { commandIdOf, commandKey } from '../../lambdas/publishing/records.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import { fileId, type JobsWorld, openJobsWorld, otherTenant, tenant } from '../support/jobs-world.ts';

let deps: PublishingDeps & { readonly kept: Map<string, string>; readonly waiting: Set<string> };
let jobs: JobsWorld;
beforeEach(() => {
  const database = openDatabase(':memory:');
  const table = new SqliteTable({ database, name: 'publishing' });
  const kept = new Map<string, string>();
  const waiting = new Set<string>();
  jobs = openJobsWorld({
    entries: { publishing },
    completeInput: (tenantId, input) => completePublishingInput({ table }, tenantId, input),
  });
  deps = {
    table,
    kept,
    waiting,
    clock: jobs.clock,
    secrets: {
      get: async (name) => kept.get(name),
      put: async (name, text) => void kept.set(name, text),
      delete: async (name) => void kept.delete(name),
    },
    workflows: {
      answer: async ({ token }) => waiting.delete(token),
      heartbeat: async ({ token }) => waiting.has(token),
    },
    objects: { signGet: async ({ key }) => ({ url: `https://objects.test/${key}`, expiresAt: new Date(0) }) },
    findFile: jobs.deps.findFile,
  };
});
afterEach(() => jobs.close());

const credentials = { client_id: 'app', client_secret: 'hidden-1', refresh_token: 'hidden-2' };
const SETTINGS = {
  ebay: {
    marketplace_id: 'EBAY_US',
    content_language: 'en-US',
    merchant_location_key: 'here',
    fulfillment_policy_id: '1',
    payment_policy_id: '2',
    return_policy_id: '3',
  },
  etsy: {
    shop_id: '7',
    shipping_profile_id: '1',
    return_policy_id: '2',
    readiness_state_id: '3',
    who_made: 'i_did',
    when_made: '2020_2026',
  },
} as const;

const newAccount = (marketplace: 'ebay' | 'etsy' | 'vinted') =>
  createMarketplaceAccount(
    deps,
    tenant,
    marketplace === 'ebay'
      ? { marketplace, name: 'Shop', settings: SETTINGS.ebay, credentials }
      : marketplace === 'etsy'
        ? { marketplace, name: 'Shop', settings: SETTINGS.etsy, credentials }
        : { marketplace, name: 'Shop', settings: {} },
  );

const body = {
  title: 'A lamp',
  description: 'Of brass.',
  price: { amount: 1_999, currency: 'EUR' },
  quantity: 1,
  condition: 'good',
  image_file_ids: [fileId, fileId],
  category_ids: {},
} as const;
const newProduct = async () =>
  (await createProduct(deps, { tenantId: tenant, body: { ...body, image_file_ids: [...body.image_file_ids] } }))
    .product;

describe('a job of publishing', () => {
  const images = [
    ['upload_images', 0],
    ['upload_images', 1],
  ] as const;
  test.each([
    ['ebay', [['validate'], ...images, ['create_listing'], ['publish'], ['verify']], [1, 2, 2, 3, 4, 5]],
    ['etsy', [['validate'], ['create_listing'], ...images, ['publish'], ['verify']], [1, 2, 3, 3, 4, 5]],
    ['vinted', [['validate'], ...images, ['create_listing'], ['publish'], ['verify']], [1, 2, 2, 3, 4, 5]],
  ] as const)('M1 has its tasks from its creation, all pending: %s', async (marketplace, steps, orders) => {
    const [account, product] = [await newAccount(marketplace), await newProduct()];
    const input = { product_id: product.id, account_id: account.id };
    const reply = await jobs.call('createJob', { body: { workflow: 'publishing', input, max_retries: 3 } });
    expect(reply.body.input).toEqual({ ...input, marketplace, image_file_ids: [fileId, fileId] });
    const { items } = (await jobs.call('listTasks', { params: { job_id: reply.body.id }, query: { limit: 100 } })).body;
    expect(items.map(({ step_type, item }) => (item === undefined ? [step_type] : [step_type, item]))).toEqual(steps);
    expect(items.map(({ step_order }) => step_order)).toEqual(orders);
    expect(items.every(({ state, attempts }) => state === 'pending' && attempts === 0)).toBe(true);
  });

  test('is refused for what its tenant does not have, and for another marketplace than the account’s', async () => {
    const [account, product] = [await newAccount('ebay'), await newProduct()];
    const input = { product_id: product.id, account_id: account.id };
    const create = (more: object, tenantId = tenant) =>
      jobs.call(
        'createJob',
        { body: { workflow: 'publishing', input: { ...input, ...more }, max_retries: 0 } },
        tenantId,
      );
    const id = jobs.clock.newId();
    const unknown = { product_id: ProductId.parse(`prod_${id}`) };
    await expect(create(unknown)).rejects.toMatchObject({ code: 'ProductNotFoundError' });
    const none = { account_id: MarketplaceAccountId.parse(`macc_${id}`) };
    await expect(create(none)).rejects.toMatchObject({ code: 'MarketplaceAccountNotFoundError' });
    await expect(create({}, otherTenant)).rejects.toMatchObject({ code: 'MarketplaceAccountNotFoundError' });
    await expect(create({ marketplace: 'etsy' })).rejects.toMatchObject({ code: 'ValidationError' });
    await expect(create({ image_file_ids: [fileId] })).rejects.toMatchObject({ code: 'ValidationError' });
  });
});

describe('an account', () => {
  test('keeps its credentials apart, and forgets them with itself', async () => {
    const account = await newAccount('etsy');
    const stored = await deps.table.get({ pk: `T#${tenant}#A#${account.id}`, sk: 'ACCOUNT' });
    for (const shown of [account, stored, await getMarketplaceAccount(deps, tenant, account.id)])
      expect(JSON.stringify(shown)).not.toContain('hidden');
    expect([...deps.kept.values()].map((text) => JSON.parse(text))).toEqual([credentials]);
    await deleteMarketplaceAccount(deps, tenant, account.id);
    expect(deps.kept.size).toBe(0);
    await expect(getMarketplaceAccount(deps, tenant, account.id)).rejects.toMatchObject({
      code: 'MarketplaceAccountNotFoundError',
    });
  });
});

test('a price is told in the units of its currency', () => {
  const told = (amount: number, currency: string) => decimalOf({ amount, currency });
  expect([told(1_999, 'EUR'), told(5, 'USD'), told(1_999, 'JPY'), told(1_999, 'KWD')]).toEqual([
    '19.99',
    '0.05',
    '1999',
    '1.999',
  ]);
});

test('the settings have the marketplaces’ own addresses', () => {
  expect(MarketplaceSettings.parse({})).toEqual({
    ebay_url: 'https://api.ebay.com',
    ebay_media_url: 'https://apim.ebay.com',
    etsy_url: 'https://api.etsy.com',
    timeout_seconds: 20,
  });
});

describe('a command for a bridge', () => {
  const jobId = 'job_01J00000000000000000000000' as JobId;
  const otherJobId = 'job_01J00000000000000000000001' as JobId;
  const productId = ProductId.parse('prod_01J00000000000000000000000');
  const otherAccountId = MarketplaceAccountId.parse('macc_01J00000000000000000000001');
  const ask = async (attempt = 1, more: Partial<CommandToSend> = {}) =>
    askBridge(deps, {
      tenantId: tenant,
      jobId,
      attempt,
      task: 'publish',
      accountId: MarketplaceAccountId.parse('macc_01J00000000000000000000000'),
      productId,
      type: 'publish',
      payload: { draft_id: '7' },
      ...more,
    });
  const queue = async (token: string, ofJob = jobId) => {
    deps.waiting.add(token);
    await queueCommands(deps, { tenantId: tenant, jobId: ofJob, token });
  };
  const list = (after?: string) => receiveCommands(deps, tenant, { after, wait_seconds: 0, limit: 10 });
  const waits = { code: 'TaskWaitingError' };

  test('is delivered while a state waits for it, and its result answers the task', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    expect((await list()).items).toEqual([]);
    await queue('token-1');
    const [command] = (await list()).items;
    expect(BridgeCommand.parse(command)).toMatchObject({ type: 'publish', draft_id: '7' });
    await answerCommand(deps, tenant, command?.id as never, { result: { listing_id: '9' } });
    expect(deps.waiting.size).toBe(0);
    expect(await ask()).toEqual({ listing_id: '9' });
    expect((await list()).items).toEqual([]);
    await expect(queue('token-2')).rejects.toMatchObject({ code: 'CommandNotFoundError' });
  });

  test('M10 is sent again, after the place where its bridge dropped, under the same id', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const first = await list();
    // The state has heard nothing, and its task runs again.
    deps.waiting.clear();
    jobs.clock.advance(20_000);
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-2');
    const second = await list(first.next_cursor);
    expect(second.items.map(({ id }) => id)).toEqual(first.items.map(({ id }) => id));
    // Once, when a bridge asks from the beginning after this one dropped, too.
    jobs.clock.advance(20_000);
    expect((await list()).items).toHaveLength(1);
  });

  test('is not delivered when nobody waits any more', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    deps.waiting.clear();
    expect((await list()).items).toEqual([]);
  });

  test('M10 is not given to another bridge until the one that has it is not heard of for 20 s', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const [command] = (await list()).items;
    expect((await list()).items).toEqual([]);
    jobs.clock.advance(15_000);
    expect(await heartbeatCommand(deps, tenant, command?.id as never)).toBe(true);
    jobs.clock.advance(19_999);
    expect((await list()).items).toEqual([]);
    jobs.clock.advance(1);
    expect((await list()).items).toMatchObject([{ id: command?.id }]);
  });

  test('M10 is taken back from a bridge that was away while another got it', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const [away] = (await list()).items;
    const beat = (command: typeof away) => heartbeatCommand(deps, tenant, command?.id as never, command?.claim);
    jobs.clock.advance(20_000);
    // Nobody else has asked.
    expect(await beat(away)).toBe(true);
    jobs.clock.advance(20_000);
    const [other] = (await list()).items;
    expect(other).toEqual({ ...away, claim: other?.claim });
    expect([await beat(away), await beat(other), await beat(away)]).toEqual([false, true, false]);
  });

  test('is given up when none has answered in a day, though one is heard of', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const [command] = (await list()).items;
    for (let hour = 0; hour < 24; hour += 1) {
      await expect(ask()).rejects.toMatchObject(waits);
      jobs.clock.advance(3_600_000);
      expect(await heartbeatCommand(deps, tenant, command?.id as never)).toBe(true);
    }
    jobs.clock.advance(1);
    await expect(ask()).rejects.toMatchObject({ code: 'BridgeSilentError' });
    await expect(ask(2)).rejects.toMatchObject(waits);
  });

  test('M6 is given when the one before on the same listing is answered, whatever jobs they are of', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await expect(ask(1, { jobId: otherJobId })).rejects.toMatchObject(waits);
    await queue('token-1');
    await queue('token-2', otherJobId);
    const { items, next_cursor } = await list();
    const [first] = items;
    expect(items.map(({ id }) => id)).toEqual([commandIdOf(jobId, 'publish')]);
    expect((await list(next_cursor)).items).toEqual([]);
    // The next of another listing does not take the bridge past it.
    const thirdJobId = 'job_01J00000000000000000000002' as JobId;
    const otherId = ProductId.parse('prod_01J00000000000000000000001');
    await expect(ask(1, { jobId: thirdJobId, productId: otherId })).rejects.toMatchObject(waits);
    await queue('token-3', thirdJobId);
    const third = await list(next_cursor);
    expect(third).toMatchObject({ items: [{ product_id: otherId }], next_cursor });
    // Their bridge is asleep, and wakes when another has taken over.
    jobs.clock.advance(20_000);
    const [second] = (await list(third.next_cursor)).items;
    expect(second?.id).toBe(commandIdOf(otherJobId, 'publish'));
    expect(await heartbeatCommand(deps, tenant, first?.id as never)).toBe(false);
    await answerCommand(deps, tenant, second?.id as never, { result: { listing_id: '9' } });
    expect((await list()).items.map(({ id }) => id)).toContain(first?.id);
  });

  test('is told to bridges of its account, and of none', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await expect(ask(1, { jobId: otherJobId, accountId: otherAccountId })).rejects.toMatchObject(waits);
    await queue('token-1');
    await queue('token-2', otherJobId);
    const query = { account_id: otherAccountId, wait_seconds: 0, limit: 1 };
    expect((await receiveCommands(deps, tenant, query)).items).toMatchObject([{ account_id: otherAccountId }]);
    expect((await receiveCommands(deps, tenant, query)).items).toEqual([]);
    expect((await list()).items).toHaveLength(1);
  });

  test('is waited for as long as its bridge is heard of', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const [command] = (await list()).items;
    jobs.clock.advance(3_000_000);
    expect(await heartbeatCommand(deps, tenant, command?.id as never)).toBe(true);
    jobs.clock.advance(3_000_000);
    await expect(ask()).rejects.toMatchObject(waits);
    jobs.clock.advance(600_001);
    await expect(ask()).rejects.toMatchObject({ code: 'BridgeSilentError' });
  });

  test('fails its attempt after an hour without an answer, and is sent again by the next', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    jobs.clock.advance(3_600_001);
    await expect(ask()).rejects.toMatchObject({ code: 'BridgeSilentError' });
    await expect(ask(2)).rejects.toMatchObject(waits);
    await queue('token-1');
    const [command] = (await list()).items;
    await answerCommand(deps, tenant, command?.id as never, { error: { message: 'no', retryable: true } });
    await expect(ask(2)).rejects.toBeInstanceOf(DomainError);
    await expect(ask(2)).rejects.toMatchObject({
      code: 'MarketplaceUnavailableError',
      message: 'the bridge failed: no',
    });
    // A row that was written with the old name of `retryable`.
    const old = { error: { message: 'no', heals: true } };
    await deps.table.write({ op: 'update', key: commandKey(tenant, command?.id as never), set: old });
    await expect(ask(2)).rejects.toMatchObject({ code: 'MarketplaceUnavailableError' });
    await expect(ask(3)).rejects.toMatchObject(waits);
  });

  test('M12 is another tenant’s as little as an unknown one', async () => {
    await expect(ask()).rejects.toMatchObject(waits);
    await queue('token-1');
    const [command] = (await list()).items;
    const other = answerCommand(deps, otherTenant, command?.id as never, { result: { listing_id: '9' } });
    await expect(other).rejects.toMatchObject({ code: 'CommandNotFoundError' });
    expect((await receiveCommands(deps, otherTenant, { wait_seconds: 0, limit: 10 })).items).toEqual([]);
  });
});
