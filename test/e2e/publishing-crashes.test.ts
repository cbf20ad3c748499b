import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Millrace, memoryStateStore } from '../../client/index.ts';
import type { TenantId } from '../../contract/common.ts';
import { failedPk, jobKey } from '../../lambdas/jobs/records.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import { lackOf } from '../support/capabilities.ts';
import { startCrashingServer } from '../support/crashing-server.ts';
import { type EmbeddedServer, type EmbeddedServerOptions, startEmbeddedServer } from '../support/e2e-server.ts';
import { patiently, target, tempFolder, until } from '../support/e2e-world.ts';
import { marketplacesAt } from '../support/marketplaces/client.ts';
import { type SandboxServer, startSandboxServer } from '../support/marketplaces/server.ts';
import { callsOf, openShopOf, type Shop } from '../support/publishing-world.ts';
import { faultsSeed, randomFrom } from '../support/random.ts';

const lack = lackOf('a server process that can be killed', target.engine);
const TENANT = 'main' as TenantId;
/** Crashes that are drawn by the seed. */
const sample = Number(process.env.CRASH_SAMPLE ?? 1);

let sandbox: SandboxServer;
beforeAll(async () => {
  sandbox = await startSandboxServer();
});
afterAll(() => sandbox.close());

const connect = ({ url, apiKey }: { url: string; apiKey: string }) =>
  new Millrace({ url, apiKey, state: memoryStateStore() });

/** A call that hangs is not given up before the server is killed. */
const args = () => ['--marketplaces', JSON.stringify(marketplacesAt(sandbox.url, 60))];

async function start(data: string, more: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ data, args: args(), ...more });
  onTestFinished(() => server.close());
  return server;
}

async function checkPublishedOnce({ seller }: Pick<Shop, 'seller'>): Promise<void> {
  const { listings } = await seller.data();
  expect(listings.map(({ state }) => state)).toEqual(['PUBLISHED']);
  expect(await callsOf(seller, 'ebay.publishOffer')).toBe(1);
  expect(await callsOf(seller, 'ebay.createOffer')).toBe(1);
}

/** Changes the jobs' table of a server that is stopped. */
async function editJobs(data: string, edit: (table: SqliteTable) => Promise<void>): Promise<void> {
  const database = openDatabase(join(data, 'millrace.db'));
  await edit(new SqliteTable({ database, name: 'jobs', changes: true }));
  database.close();
}

describe.skipIf(lack)(`publishing, crashed${lack ? ` (skipped: ${lack})` : ''}`, () => {
  it('M6 publishes once when it is killed between the publishing and its record', { timeout: 60_000 }, async () => {
    const data = await tempFolder();
    const first = await start(data);
    const shop = await openShopOf(connect(first), 'ebay', sandbox);
    await shop.seller.setFaults({ operation: 'ebay.publishOffer', fate: 'hang', after: true });
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const job = await connect(first).jobs.create('publishing', input, { maxRetries: 0 });
    await until('it is published', async () =>
      (await callsOf(shop.seller, 'ebay.publishOffer')) > 0 ? true : undefined,
    );
    await first.kill();
    const second = await start(data);
    expect((await connect(second).jobs.wait(job.id)).state).toBe('completed');
    await checkPublishedOnce(shop);
  });

  it('M6 publishes nothing twice when a job is made to have failed after its success, nor when its ledger is lost', {
    timeout: 60_000,
  }, async () => {
    const data = await tempFolder();
    const first = await start(data);
    const shop = await openShopOf(connect(first), 'ebay', sandbox);
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    const job = await connect(first).jobs.run('publishing', input);
    expect(job.state).toBe('completed');
    await first.stop();

    const key = jobKey(TENANT, job.id);
    const failed = { state: 'failed', g2pk: failedPk(TENANT), g2sk: job.id };
    await editJobs(data, async (table) => void (await table.write({ op: 'update', key, set: failed })));
    const second = await start(data);
    await connect(second).jobs.retry(job.id);
    expect((await connect(second).jobs.wait(job.id)).state).toBe('completed');
    await checkPublishedOnce(shop);
    await second.stop();

    await editJobs(data, async (table) => {
      await table.write({ op: 'update', key, set: failed });
      const { items } = await table.query({ pk: key.pk, limit: 1_000 });
      for (const { pk, sk } of items) {
        if (sk.startsWith('TASK#'))
          await table.write({
            op: 'update',
            key: { pk, sk },
            set: { state: 'pending', attempts: 0 },
            remove: ['output'],
          });
        if (sk.startsWith('ONCE#')) await table.write({ op: 'delete', key: { pk, sk } });
      }
    });
    const third = await start(data);
    await connect(third).jobs.retry(job.id);
    expect((await connect(third).jobs.wait(job.id)).state).toBe('completed');
    await checkPublishedOnce(shop);
    await third.stop();
    expectNoSecrets(data, shop);
  });

  it('M6 publishes once when it crashes at any write', { timeout: 60_000 * sample }, async () => {
    const random = randomFrom(faultsSeed);
    for (let run = 0; run < sample; run += 1) {
      const at = 1 + Math.floor(random() * 60);
      await crashAt(at).catch((error: unknown) => {
        throw new Error(`crashed at write ${at} (FAULTS_SEED=${faultsSeed}): ${error}`, { cause: error });
      });
    }
  });

  async function crashAt(at: number): Promise<void> {
    const data = await tempFolder();
    const setUp = await start(data);
    const shop = await openShopOf(connect(setUp), 'ebay', sandbox);
    const input = { product_id: await shop.product(1), account_id: shop.accountId };
    await setUp.stop();
    const server = await startCrashingServer({ data, args: args() }, [{ at, when: 'after' }]);
    onTestFinished(() => server.stop());
    const client = connect(server);
    const options = { maxRetries: 3, idempotencyKey: crypto.randomUUID() };
    const { id } = await patiently(() => client.jobs.create('publishing', input, options));
    expect((await patiently(() => client.jobs.wait(id))).state).toBe('completed');
    await checkPublishedOnce(shop);
  }
});

/** Credentials are in the folder of secrets and nowhere else. */
function expectNoSecrets(data: string, { seller }: Shop): void {
  const { client_secret, refresh_token } = seller.credentials;
  const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const holding = files
    .filter((file) => {
      const content = readFileSync(join(file.parentPath, file.name));
      return [client_secret, refresh_token].some((secret) => content.includes(secret));
    })
    .map(({ parentPath }) => parentPath);
  expect(new Set(holding)).toEqual(new Set([join(data, 'secrets')]));
}
