import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { FileRef } from '../../contract/jobs.ts';
import { MarketplaceSettings } from '../../contract/publishing.ts';
import { publishing } from '../../contract/workflows/publishing.ts';
import { createTaskRunner } from '../../lambdas/jobs/run-task.ts';
import type { TaskDefinition } from '../../lambdas/jobs/task-api.ts';
import type { PublishingDeps, PublishingServices } from '../../lambdas/publishing/deps.ts';
import { createMarketplaceAccount } from '../../lambdas/publishing/marketplace-accounts.ts';
import { completePublishingInput, createProduct } from '../../lambdas/publishing/products.ts';
import { task as createListing } from '../../lambdas/publishing/tasks/create-listing.ts';
import { task as publish } from '../../lambdas/publishing/tasks/publish.ts';
import { task as uploadImage } from '../../lambdas/publishing/tasks/upload-image.ts';
import { task as validate } from '../../lambdas/publishing/tasks/validate.ts';
import { task as verify } from '../../lambdas/publishing/tasks/verify.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Table } from '../../platform/ports/table.ts';
import { openJobsWorld, tenant, unsteadyTable } from '../support/jobs-world.ts';
import { newSeller } from '../support/marketplaces/client.ts';
import type { Fault } from '../support/marketplaces/operation.ts';
import { type SandboxServer, startSandboxServer } from '../support/marketplaces/server.ts';
import { accountOf, PNG, productOf } from '../support/marketplaces/shop.ts';
import { faultsSeed, randomFrom } from '../support/random.ts';

/** Set to 1,000 for the full proof, which takes a minute. */
const RUNS = Number(process.env.PUBLISHING_RUNS ?? 40);
const OPERATIONS = {
  ebay: [
    'token',
    'createImageFromFile',
    'createOrReplaceInventoryItem',
    'getOffers',
    'createOffer',
    'getOffer',
    'publishOffer',
  ],
  etsy: [
    'token',
    'getShop',
    'createDraftListing',
    'getListingsByShop',
    'getListing',
    'uploadListingImage',
    'updateListing',
  ],
} as const;
const STEPS = { ebay: [uploadImage, createListing], etsy: [createListing, uploadImage] } as const;

const image: FileRef = {
  file_id: productOf.image_file_ids[0],
  name: 'lamp.png',
  content_type: 'image/png',
  object_key: `tenant/${tenant}/uploads/lamp`,
  size_bytes: PNG.length,
  checksum_crc64nvme: 'AAAAAAAAAAA=',
};

let sandbox: SandboxServer;
beforeAll(async () => {
  sandbox = await startSandboxServer();
});
afterAll(() => sandbox.close());

type Step = readonly [TaskDefinition, number?];

/** A product, an account for it on a marketplace, and jobs of the two. */
async function openShop(marketplace: 'ebay' | 'etsy') {
  const seller = await newSeller(sandbox);
  const table = new SqliteTable({ database: openDatabase(':memory:'), name: 'publishing' });
  const world = openJobsWorld({
    entries: { publishing },
    completeInput: (tenantId, input) => completePublishingInput({ table }, tenantId, input),
    findFile: async () => image,
  });
  const kept = new Map<string, string>();
  const secrets = {
    get: async (name: string) => kept.get(name),
    put: async (name: string, text: string) => void kept.set(name, text),
    delete: async (name: string) => void kept.delete(name),
  };
  const marketplaces = MarketplaceSettings.parse({
    ebay_url: sandbox.url,
    ebay_media_url: sandbox.url,
    etsy_url: sandbox.url,
  });
  await world.objects.put({ key: image.object_key, body: PNG, contentType: image.content_type });
  const deps = { ...world.deps, table, secrets } as unknown as PublishingDeps;
  const account = await createMarketplaceAccount(deps, tenant, accountOf(marketplace, seller.credentials));
  const { product } = await createProduct(deps, { tenantId: tenant, body: productOf });
  const services: PublishingServices = { table, secrets, clock: world.clock, marketplaces };
  let runners = 0;
  return {
    seller,
    world,
    async newJob(): Promise<JobId> {
      const input = { product_id: product.id, account_id: account.id };
      const { body } = await world.call('createJob', { body: { workflow: 'publishing', input, max_retries: 0 } });
      await world.drain();
      return body.id;
    },
    steps: [
      [validate],
      ...STEPS[marketplace].map((task) => (task === uploadImage ? ([task, 0] as const) : ([task] as const))),
      [publish],
      [verify],
    ] as readonly Step[],
    async run(jobId: JobId, [task, item]: Step, ledger: Table = world.table) {
      runners += 1;
      const runTask = createTaskRunner({ ...world.deps, table: ledger, services: async () => services });
      const job = { tenant_id: tenant, job_id: jobId, attempt: 1, run: 1 };
      await runTask(
        task,
        { job, ...(item === undefined ? {} : { item }) },
        {
          runnerId: `runner-${runners}`,
          signal: new AbortController().signal,
          deadline: new Date(world.clock.now().getTime() + 3_600_000),
        },
      );
    },
  };
}

type Shop = Awaited<ReturnType<typeof openShop>>;

async function checkPublishedOnce(marketplace: 'ebay' | 'etsy', { seller }: Shop): Promise<void> {
  const { listings, effects } = await seller.data();
  expect(listings.map(({ state }) => state)).toEqual([marketplace === 'ebay' ? 'PUBLISHED' : 'active']);
  const once =
    marketplace === 'ebay'
      ? ['ebay.createOffer', 'ebay.publishOffer']
      : ['etsy.createDraftListing', 'etsy.updateListing'];
  for (const operation of once) expect(effects.filter((each) => each === operation)).toHaveLength(1);
}

/** A job's tasks again and again, over faults of the marketplace and of the ledger, until all of them are done. */
async function publishOverFaults(marketplace: 'ebay' | 'etsy', random: () => number): Promise<void> {
  const shop = await openShop(marketplace);
  const { seller, world, steps } = shop;
  try {
    const jobId = await shop.newJob();
    await seller.setFaults(...randomFaults(marketplace, random));
    const unsteady = unsteadyTable(world.table, random, 0.05);
    for (let at = 0, tries = 0; at < steps.length; tries += 1) {
      // After the 60 tries of a hard time, all is well.
      unsteady.steady = tries > 60;
      try {
        await shop.run(jobId, steps[at] as Step, unsteady);
        at += 1;
      } catch (error) {
        if (tries > 100) throw error;
        // Another runner, once the lease of the one before has lapsed; the ledger's row of an effect may be lost.
        world.clock.advance(60_001);
        if (random() < 0.3) await loseEffects(world.table, jobId);
      }
    }
    await checkPublishedOnce(marketplace, shop);
  } finally {
    world.close();
  }
}

function randomFaults(marketplace: 'ebay' | 'etsy', random: () => number): Fault[] {
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  return Array.from({ length: Math.floor(random() * 6) }, () => {
    const operation = pick(OPERATIONS[marketplace]);
    return {
      operation: `${marketplace}.${operation}`,
      at: 1 + Math.floor(random() * 3),
      fate: pick(['status', 'drop'] as const),
      status: pick([500, 502, 503]),
      // A refresh token that was changed by an answer that is lost: only the seller's consent helps.
      after: operation !== 'token' && random() < 0.5,
    };
  });
}

async function loseEffects(table: SqliteTable, jobId: string): Promise<void> {
  const { items } = await table.query({ pk: `T#${tenant}#J#${jobId}`, prefix: 'ONCE#', limit: 100 });
  for (const { pk, sk } of items) await table.write({ op: 'delete', key: { pk, sk } });
}

test(`M6 publishes once in ${RUNS} random runs with faults (seed ${faultsSeed})`, { timeout: 600_000 }, async () => {
  const random = randomFrom(faultsSeed);
  for (let run = 0; run < RUNS; run += 1) await publishOverFaults(run % 2 === 0 ? 'ebay' : 'etsy', random);
});

describe.each(['ebay', 'etsy'] as const)('jobs of one product on %s', (marketplace) => {
  /** All steps, each as often as the state machine would while another job works on the listing. */
  async function runAll(shop: Shop, jobId: JobId): Promise<void> {
    for (const step of shop.steps) {
      while (await shop.run(jobId, step).then(() => false, isBusy)) await setTimeout(5);
    }
  }
  const isBusy = (error: unknown) => {
    if (error instanceof DomainError && error.code === 'TaskBusyError') return true;
    throw error;
  };

  test('M6 publish it once when they run at the same time', async () => {
    const shop = await openShop(marketplace);
    const jobs = [await shop.newJob(), await shop.newJob(), await shop.newJob()];
    await Promise.all(jobs.map((jobId) => runAll(shop, jobId)));
    await checkPublishedOnce(marketplace, shop);
    shop.world.close();
  });

  test('M6 publish it once when the first is killed in the middle: the next takes over 20 s later', async () => {
    const shop = await openShop(marketplace);
    const [killed, next] = [await shop.newJob(), await shop.newJob()];
    const [validation, first, second] = shop.steps as [Step, Step, Step];
    for (const step of [validation, first, second]) await shop.run(killed, step);
    await shop.run(next, validation);
    shop.world.clock.advance(19_000);
    await expect(shop.run(next, first)).rejects.toMatchObject({ code: 'TaskBusyError' });
    shop.world.clock.advance(1_000);
    await runAll(shop, next);
    // One that was only asleep finds what the other has done.
    await runAll(shop, killed);
    await checkPublishedOnce(marketplace, shop);
    shop.world.close();
  });

  test('are let in at once when the marketplace refuses what the first asks for', async () => {
    const shop = await openShop(marketplace);
    const create = marketplace === 'ebay' ? 'ebay.createOffer' : 'etsy.createDraftListing';
    await shop.seller.setFaults({ operation: create, fate: 'status', status: 400 });
    const [refused, next] = [await shop.newJob(), await shop.newJob()];
    await expect(runAll(shop, refused)).rejects.toMatchObject({ code: 'ListingRefusedError' });
    await runAll(shop, next);
    await checkPublishedOnce(marketplace, shop);
    shop.world.close();
  });
});
