import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeCommand, type Millrace, Millrace as MillraceClient } from '../../client/index.ts';
import { lackOf } from '../support/capabilities.ts';
import { call, type RunningCli, SLOWER, startCli, target, tasksOf, tempFolder, until } from '../support/e2e-world.ts';
import { type SandboxServer, startSandboxServer } from '../support/marketplaces/server.ts';
import { callsOf, openShop } from '../support/publishing-world.ts';

const TIMEOUT = 60_000 * SLOWER;
const PROGRAM = new URL('../support/marketplaces/vinted-program.mjs', import.meta.url).pathname;

/** Vinted, as the seller's machine reaches it. */
let vinted: SandboxServer;
beforeAll(async () => {
  vinted = await startSandboxServer();
});
afterAll(() => vinted.close());

const openVinted = () => openShop('vinted', vinted);
type VintedShop = Awaited<ReturnType<typeof openVinted>>;

function startBridge(
  folder: string,
  { tenant, seller }: VintedShop,
  { journal = 'journal', program = [process.execPath, PROGRAM, vinted.url, seller.id], flags = [] as string[] } = {},
): RunningCli {
  return startCli(folder, tenant, 'bridge', ...flags, '--journal', join(folder, journal), '--', ...program);
}

async function stopBridge({ child, done }: RunningCli): Promise<void> {
  child.kill('SIGKILL');
  await done;
}

/** The next command, waited for. */
async function nextCommand(client: Millrace, type: BridgeCommand['type']): Promise<BridgeCommand> {
  return until(`a command ${type}`, async () => {
    const { items } = await client.bridge.receive({ wait_seconds: 5 });
    return items.find((command) => command.type === type);
  });
}

// What is sent again comes after a minute or two: they wait side by side.
describe.concurrent("a seller's bridge", () => {
  it('M2 M3 publishes on Vinted what jobs ask for, by the command line', {
    timeout: TIMEOUT,
    tags: ['seed'],
  }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const bridge = startBridge(await tempFolder(), shop);
    const input = { product_id: await shop.product(2), account_id: shop.accountId };
    const job = await client.jobs.run('publishing', input, { maxRetries: 0 });
    expect([job.state, job.error, job.input.marketplace]).toEqual(['completed', undefined, 'vinted']);
    const tasks = await tasksOf(client, job);
    expect(tasks.map(({ step_type, step_order, state }) => [step_type, step_order, state])).toEqual([
      ['validate', 1, 'completed'],
      ['upload_images', 2, 'completed'],
      ['upload_images', 2, 'completed'],
      ['create_listing', 3, 'completed'],
      ['publish', 4, 'completed'],
      ['verify', 5, 'completed'],
    ]);
    const { listings, images } = await shop.seller.data();
    expect(listings).toMatchObject([{ reference: input.product_id, state: 'listed' }]);
    expect(tasks.at(-1)?.output).toMatchObject({ listing_id: listings[0]?.listing_id, verified: true });
    expect(images.map(({ name }) => name)).toEqual(['photo-0.png', 'photo-1.png']);
    expect(new Set(images.map(({ bytes }) => bytes)).size).toBe(1);
    await stopBridge(bridge);
  });

  it('M6 publishes once when two jobs of a product run at the same time, and two bridges do what they ask for', {
    timeout: TIMEOUT,
    tags: ['long'],
  }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const folder = await tempFolder();
    const flags = ['--account', shop.accountId];
    const bridges = ['one', 'two'].map((journal) => startBridge(folder, shop, { journal, flags }));
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const jobs = await Promise.all([1, 2].map(() => client.jobs.run('publishing', input, { maxRetries: 0 })));
    expect(jobs.map(({ state, error }) => [state, error])).toEqual(Array(2).fill(['completed', undefined]));
    const { listings, effects } = await shop.seller.data();
    expect(listings.map(({ state }) => state)).toEqual(['listed']);
    const once = ['vinted.createDraft', 'vinted.publishDraft'];
    expect(effects.filter((effect) => once.includes(effect))).toEqual(once);
    await Promise.all(bridges.map(stopBridge));
  });

  it('M10 publishes once when a bridge is gone in the middle of a command, and another takes it up', {
    timeout: TIMEOUT,
    tags: ['long'],
  }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const folder = await tempFolder();
    // Vinted publishes it, and the bridge is killed before it has the answer.
    await shop.seller.setFaults({ operation: 'vinted.publishDraft', fate: 'hang', after: true });
    const first = startBridge(folder, shop);
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const job = await client.jobs.create('publishing', input, { maxRetries: 0 });
    await until('Vinted has published it', async () =>
      (await callsOf(shop.seller, 'vinted.publishDraft')) > 0 ? true : undefined,
    );
    await stopBridge(first);
    expect((await tasksOf(client, job)).find(({ step_type }) => step_type === 'publish')?.state).toBe('running');
    const second = startBridge(folder, shop, { journal: 'new-journal' });
    expect((await client.jobs.wait(job.id)).state).toBe('completed');
    expect([await callsOf(shop.seller, 'vinted.publishDraft'), (await shop.seller.data()).listings.length]).toEqual([
      1, 1,
    ]);
    await stopBridge(second);
  });

  it('M10 answers from its journal when its answer was lost', { timeout: TIMEOUT, tags: ['long'] }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const folder = await tempFolder();
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const job = await client.jobs.create('publishing', input, { maxRetries: 0 });
    // It does the command, and notes it; its answers reach nobody.
    const lost = startBridge(folder, shop);
    await until('the photo is there', async () =>
      (await callsOf(shop.seller, 'vinted.uploadPhoto')) > 0 ? true : undefined,
    );
    await stopBridge(lost);
    const again = startBridge(folder, shop);
    expect((await client.jobs.wait(job.id)).state).toBe('completed');
    expect(await callsOf(shop.seller, 'vinted.publishDraft')).toBe(1);
    await stopBridge(again);
  });

  it('fails the job with what the bridge says, and the retry sends the command again', {
    timeout: TIMEOUT,
    tags: ['long'],
  }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    await shop.seller.setFaults({ operation: 'vinted.createDraft', fate: 'status', status: 422 });
    const bridge = startBridge(await tempFolder(), shop);
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const failed = await client.jobs.run('publishing', input);
    expect(failed).toMatchObject({ state: 'failed', retry_count: 0, error: { code: 'ListingRefusedError' } });
    expect(failed.error?.message).toContain('Vinted answered 422');
    await client.jobs.retry(failed.id);
    expect((await client.jobs.wait(failed.id)).state).toBe('completed');
    expect(await callsOf(shop.seller, 'vinted.uploadPhoto')).toBe(1);
    await stopBridge(bridge);
  });

  it('names a result that is refused, goes on, and a mended program’s counts at the retry', {
    timeout: TIMEOUT,
    tags: ['long'],
  }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const folder = await tempFolder();
    const wrong = `process.stdout.write('{"photo":1}')`;
    const bridge = startBridge(folder, shop, { program: [process.execPath, '-e', wrong] });
    const told = bridge.child.stdout && once(bridge.child.stdout, 'data');
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const failed = await client.jobs.run('publishing', input, { maxRetries: 0 });
    const reason = 'the server rejected the program’s result: result.photo_id is not valid';
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'ListingRefusedError' } });
    expect(failed.error?.message).toContain(reason);
    await told;
    expect(bridge.child.exitCode).toBe(null);
    await stopBridge(bridge);
    const { events, stderr } = await bridge.done;
    expect(events).toMatchObject([{ type: 'command', error: { retryable: false } }]);
    expect(stderr).toContain(reason);
    const mended = startBridge(folder, shop);
    await client.jobs.retry(failed.id);
    expect((await client.jobs.wait(failed.id)).state).toBe('completed');
    await stopBridge(mended);
  });

  it('refuses wrong answers, takes the first right one, and any repeat of it', { timeout: TIMEOUT }, async () => {
    const shop = await openVinted();
    const { client } = shop.tenant;
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const job = await client.jobs.create('publishing', input, { maxRetries: 0 });
    const { id } = await nextCommand(client, 'upload_image');
    expect(await client.bridge.heartbeat(id)).toBe(true);
    const refused = { code: 'ValidationError' };
    await expect(client.bridge.answer(id, { result: { photo: 1 } })).rejects.toMatchObject(refused);
    await expect(client.bridge.answer(id, {})).rejects.toMatchObject(refused);
    await client.bridge.answer(id, { result: { photo_id: 'first' } });
    await client.bridge.answer(id, { result: { photo_id: 'second' } });
    expect(await client.bridge.heartbeat(id)).toBe(false);
    const create = await nextCommand(client, 'create_listing');
    expect(create).toMatchObject({ photo_ids: ['first'], product: { id: input.product_id } });
    await client.bridge.answer(create.id, { error: { message: 'enough' } });
    expect(await client.jobs.wait(job.id)).toMatchObject({
      state: 'failed',
      error: { message: 'the bridge failed: enough' },
    });
  });

  it('M12 does nothing of other tenants, and its key allows nothing else', { timeout: TIMEOUT }, async () => {
    const [mine, theirs] = [await openVinted(), await openVinted()];
    const input = { product_id: await theirs.product(1), account_id: theirs.accountId };
    await theirs.tenant.client.jobs.create('publishing', input);
    const { id } = await nextCommand(theirs.tenant.client, 'upload_image');
    const { apiKey, client } = mine.tenant;
    expect((await client.bridge.receive()).items).toEqual([]);
    const answers = await Promise.all([
      call('POST', `/bridge/commands/${id}/heartbeat`, { apiKey }),
      call('POST', `/bridge/commands/${id}/answer`, { apiKey, body: { result: { photo_id: '1' } } }),
    ]);
    expect(answers.map(({ status, body }) => [status, body.error])).toEqual(
      Array(2).fill([404, 'CommandNotFoundError']),
    );
    const { secret } = await client.keys.create({ name: 'bridge', role: 'editor', scopes: ['bridge:write'] });
    const bridge = new MillraceClient({ url: target.url, apiKey: secret });
    expect((await bridge.bridge.receive()).items).toEqual([]);
    await expect(bridge.products.list()).rejects.toMatchObject({ code: 'ForbiddenError' });
  });

  const lack = lackOf('executions that stop while they wait for an answer', target.engine);
  it.skipIf(lack)(
    `is not sent a command whose job was cancelled${lack ? ` (skipped: ${lack})` : ''}`,
    {
      timeout: TIMEOUT,
    },
    async () => {
      const shop = await openVinted();
      const { client } = shop.tenant;
      const input = { product_id: await shop.product(1), account_id: shop.accountId };
      const job = await client.jobs.create('publishing', input);
      const { id } = await nextCommand(client, 'upload_image');
      await client.jobs.cancel(job.id);
      expect((await client.jobs.wait(job.id)).state).toBe('cancelled');
      expect((await client.bridge.receive()).items).toEqual([]);
      expect(await client.bridge.heartbeat(id)).toBe(false);
      await client.bridge.answer(id, { result: { photo_id: 'late' } });
      expect((await client.jobs.get(job.id)).state).toBe('cancelled');
    },
  );
});
