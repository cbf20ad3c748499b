import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../client/index.ts';
import { call, SLOWER, tasksOf } from '../support/e2e-world.ts';
import { callsOf, openShop } from '../support/publishing-world.ts';

const TIMEOUT = 60_000 * SLOWER;

const STEPS = {
  ebay: ['validate', 'upload_images', 'upload_images', 'create_listing', 'publish', 'verify'],
  etsy: ['validate', 'create_listing', 'upload_images', 'upload_images', 'publish', 'verify'],
};

/** The operation that publishes, what the marketplace says of a listing that buyers see, and the first operation of a job. */
const PUBLISH = {
  ebay: {
    operation: 'ebay.publishOffer',
    create: 'ebay.createOffer',
    state: 'PUBLISHED',
    first: 'ebay.createImageFromFile',
  },
  etsy: {
    operation: 'etsy.updateListing',
    create: 'etsy.createDraftListing',
    state: 'active',
    first: 'etsy.createDraftListing',
  },
} as const;

// They wait for retries most of their time: so they wait together.
describe.concurrent.each(['ebay', 'etsy'] as const)('publishing on %s', (marketplace) => {
  const { operation, create, state, first } = PUBLISH[marketplace];
  // On LocalStack all of M1 to M10 is for one marketplace.
  const tags = marketplace === 'ebay' ? [] : ['long'];
  const seed = marketplace === 'ebay' ? ['seed'] : ['long'];

  it('M1 has all of its tasks from its creation, by step_type and step_order, pending until their turn', {
    timeout: TIMEOUT,
    tags: seed,
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    await seller.setFaults({ operation: first, fate: 'hang', times: 100 });
    const input = { product_id: await product(1), account_id: accountId };
    const job = await client.jobs.create('publishing', input);
    expect(job.progress.total_tasks).toBe(5);
    const tasks = await tasksOf(client, job);
    const steps = [...new Set(STEPS[marketplace])];
    expect(tasks.map(({ step_type, step_order }) => [step_type, step_order])).toEqual(
      steps.map((step, at) => [step, at + 1]),
    );
    expect(tasks.map(({ created_at }) => created_at)).toEqual(steps.map(() => job.created_at));
    // The marketplace keeps the second from its end.
    const [, , ...later] = tasks;
    expect(later.map(({ state: taskState, attempts }) => [taskState, attempts])).toEqual(Array(3).fill(['pending', 0]));
    await client.jobs.cancel(job.id);
    expect((await client.jobs.wait(job.id)).state).toBe('cancelled');
  });

  it('M2 M3 runs its tasks in order, and there is the one listing that was asked for', {
    timeout: TIMEOUT,
    tags: ['seed'],
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    const product_id = await product(2);
    const job = await client.jobs.run('publishing', { product_id, account_id: accountId });
    expect([job.state, job.error]).toEqual(['completed', undefined]);
    expect(job.input).toMatchObject({ product_id, account_id: accountId, marketplace });

    const tasks = await tasksOf(client, job);
    expect(tasks.map(({ step_type }) => step_type)).toEqual(STEPS[marketplace]);
    const order = [...new Set(STEPS[marketplace])];
    expect(tasks.map(({ step_order }) => step_order)).toEqual(
      tasks.map(({ step_type }) => order.indexOf(step_type) + 1),
    );
    expect(tasks.map(({ state: taskState, attempts }) => [taskState, attempts])).toEqual(
      tasks.map(() => ['completed', 1]),
    );
    const times = tasks.flatMap(({ started_at = '', ended_at = '' }) => [started_at, ended_at]);
    expect(times).toEqual([...times].sort());
    expect([job.created_at, ...times, job.completed_at]).toEqual([job.created_at, ...times, job.completed_at].sort());

    expect(await client.batches.stats(marketplace)).toMatchObject([{ label: marketplace, jobs: { completed: 1 } }]);

    const data = await seller.data();
    const [listing] = data.listings;
    expect([data.listings.length, listing?.state]).toEqual([1, state]);
    expect(tasks.at(-1)?.output).toMatchObject({ listing_id: listing?.listing_id, verified: true });
    expect(data.images.map(({ name }) => name)).toEqual(['photo-0.png', 'photo-1.png']);
    const fields: Record<string, unknown> = listing?.fields ?? {};
    expect(marketplace === 'ebay' ? fields.pricingSummary : fields.price).toEqual(
      marketplace === 'ebay' ? { price: { value: '49.50', currency: 'USD' } } : '49.50',
    );
  });

  it('M5 retries from the task that failed: those before it are not run again', {
    timeout: TIMEOUT,
    tags: seed,
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    await seller.setFaults({ operation, fate: 'status', status: 400 });
    const input = { product_id: await product(1), account_id: accountId };
    const failed = await client.jobs.run('publishing', input, { maxRetries: 0 });
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'ListingRefusedError', task: 'publish' } });
    const before = await tasksOf(client, failed);
    expect(before.map((task) => task.state)).toEqual(['completed', 'completed', 'completed', 'failed', 'pending']);
    await client.jobs.retry(failed.id);
    expect((await client.jobs.wait(failed.id)).state).toBe('completed');
    const after = await tasksOf(client, failed);
    expect(after.slice(0, 3)).toEqual(before.slice(0, 3));
    expect(after.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 2, 1]);
    expect(await callsOf(seller, create)).toBe(1);
  });

  it('M6 publishes once when the answer of the marketplace was lost', { timeout: TIMEOUT, tags: seed }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    await seller.setFaults(
      { operation, fate: 'drop', after: true },
      { operation: create, fate: 'status', status: 502, after: true },
    );
    const input = { product_id: await product(1), account_id: accountId };
    const job = await client.jobs.run('publishing', input, { maxRetries: 2 });
    expect([job.state, job.error, job.retry_count]).toEqual(['completed', undefined, 2]);
    expect([await callsOf(seller, create), await callsOf(seller, operation)]).toEqual([1, 1]);
    expect((await seller.data()).listings).toHaveLength(1);
  });

  it('M6 finds the listing of a product that another job has published', { timeout: TIMEOUT, tags }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    const input = { product_id: await product(1), account_id: accountId };
    const first = await client.jobs.run('publishing', input);
    const second = await client.jobs.run('publishing', input);
    expect([second.state, second.error]).toEqual(['completed', undefined]);
    const outputs = await Promise.all([first, second].map(async (job) => (await tasksOf(client, job)).at(-1)?.output));
    expect(outputs[1]).toEqual(outputs[0]);
    expect([await callsOf(seller, create), await callsOf(seller, operation)]).toEqual([1, 1]);
  });

  it('M6 publishes once when two jobs of a product run at the same time', {
    timeout: TIMEOUT,
    tags: seed,
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    // The first has asked whether there is a listing, and makes it a second later.
    await seller.setFaults({ operation: create, fate: 'status', status: 429, retry_after: '1' });
    const input = { product_id: await product(1), account_id: accountId };
    const jobs = await Promise.all([1, 2].map(() => client.jobs.run('publishing', input, { maxRetries: 0 })));
    expect(jobs.map(({ state: jobState, error }) => [jobState, error])).toEqual(
      Array(2).fill(['completed', undefined]),
    );
    const outputs = await Promise.all(jobs.map(async (job) => (await tasksOf(client, job)).at(-1)?.output));
    expect(outputs[1]).toEqual(outputs[0]);
    const { listings, effects } = await seller.data();
    expect(listings.map((listing) => listing.state)).toEqual([state]);
    expect(effects.filter((effect) => [create, operation].some((once) => once === effect))).toEqual([
      create,
      operation,
    ]);
  });

  it('M10 renews a token that is refused, and fails when there is no new one until the credentials are renewed', {
    timeout: TIMEOUT,
    tags,
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    const { client } = tenant;
    const run = async () => {
      const input = { product_id: await product(1), account_id: accountId };
      return client.jobs.run('publishing', input, { maxRetries: 0 });
    };
    expect((await run()).state).toBe('completed');
    await seller.expireTokens();
    expect((await run()).state).toBe('completed');
    expect(await callsOf(seller, `${marketplace}.token`)).toBe(2);
    await seller.revokeTokens();
    const refused = await run();
    expect(refused).toMatchObject({ state: 'failed', error: { code: 'CredentialsRefusedError' } });
    const { refresh_token } = await seller.consent();
    await client.marketplaceAccounts.renewCredentials(accountId, { ...seller.credentials, refresh_token });
    await client.jobs.retry(refused.id);
    expect((await client.jobs.wait(refused.id)).state).toBe('completed');
  });

  it('M10 asks once more with a new token, and then fails', { timeout: TIMEOUT, tags }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    await seller.setFaults({ operation, fate: 'status', status: 401, times: 9 });
    const input = { product_id: await product(1), account_id: accountId };
    const job = await tenant.client.jobs.run('publishing', input);
    expect(job).toMatchObject({ state: 'failed', retry_count: 0, error: { code: 'CredentialsRefusedError' } });
    expect([await callsOf(seller, operation), await callsOf(seller, `${marketplace}.token`)]).toEqual([2, 2]);
  });

  it('M10 waits as Retry-After asks, and goes on in the same attempt', { timeout: TIMEOUT, tags }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    await seller.setFaults({ operation, fate: 'status', status: 429, retry_after: '1', times: 2 });
    const input = { product_id: await product(1), account_id: accountId };
    const job = await tenant.client.jobs.run('publishing', input, { maxRetries: 0 });
    expect([job.state, job.error]).toEqual(['completed', undefined]);
    expect(await callsOf(seller, operation)).toBe(3);
    expect(Date.parse(job.completed_at ?? '') - Date.parse(job.started_at ?? '')).toBeGreaterThan(2_000);
  });

  it('M10 tries again later what times out or fails with 500', { timeout: TIMEOUT, tags }, async () => {
    const { tenant, seller, accountId, product } = await openShop(marketplace);
    await seller.setFaults({ operation, fate: 'hang', at: 1 }, { operation, fate: 'status', status: 500, at: 2 });
    const input = { product_id: await product(1), account_id: accountId };
    const job = await tenant.client.jobs.run('publishing', input, { maxRetries: 2 });
    expect([job.state, job.error, job.retry_count]).toEqual(['completed', undefined, 2]);
    expect(await callsOf(seller, operation)).toBe(3);
  });
});

describe.concurrent('publishing', () => {
  it('M7 goes on with the 8th of 10 tasks once the marketplace is mended', {
    timeout: TIMEOUT,
    tags: ['seed'],
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop('ebay');
    const { client } = tenant;
    await seller.setFaults({ operation: 'ebay.createOffer', fate: 'status', status: 400, times: 100 });
    const input = { product_id: await product(6), account_id: accountId };
    const failed = await client.jobs.run('publishing', input, { maxRetries: 0 });
    expect([failed.state, failed.error?.task]).toEqual(['failed', 'create_listing']);
    const before = await tasksOf(client, failed);
    const states = before.map((task) => task.state);
    expect(states).toEqual([...Array(7).fill('completed'), 'failed', 'pending', 'pending']);
    await seller.setFaults();
    await client.jobs.retry(failed.id);
    expect((await client.jobs.wait(failed.id)).state).toBe('completed');
    const after = await tasksOf(client, failed);
    expect(after.slice(0, 7)).toEqual(before.slice(0, 7));
    expect(after.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 1, 1]);
    expect(await callsOf(seller, 'ebay.createImageFromFile')).toBe(6);
  });

  it('M8 fails for good after three retries of what never succeeds, and is a dead letter', {
    timeout: TIMEOUT,
    tags: ['seed'],
  }, async () => {
    const { tenant, seller, accountId, product } = await openShop('ebay');
    const { client } = tenant;
    await seller.setFaults({ operation: 'ebay.publishOffer', fate: 'status', status: 500, times: 100 });
    const told: [string, number][] = [];
    const input = { product_id: await product(1), account_id: accountId };
    const created = await client.jobs.create('publishing', input, { maxRetries: 3 });
    for await (const event of client.jobs.watch(created.id)) {
      if ('state' in event.data) told.push([event.data.state, event.data.attempt]);
      const { attempt, retry_count } = await client.jobs.get(created.id);
      expect(retry_count).toBe(attempt - 1);
    }
    const job = await client.jobs.get(created.id);
    expect(job).toMatchObject({ state: 'failed', retry_count: 3, error: { code: 'MarketplaceUnavailableError' } });
    expect(job.error?.message).toContain('500');
    const runs = [1, 2, 3, 4].flatMap((attempt) => ['queued', 'running'].map((runState) => [runState, attempt]));
    expect(told).toEqual([...runs, ['failed', 4]]);
    expect((await client.jobs.list({ state: 'failed' })).items.map(({ id }) => id)).toEqual([job.id]);
    expect(await callsOf(seller, 'ebay.publishOffer')).toBe(4);
  });

  it('tells at once what a marketplace would not take, before it asks it', { timeout: TIMEOUT }, async () => {
    const { tenant, seller, accountId, product } = await openShop('ebay');
    const product_id = await product(1, { title: 'x'.repeat(100) });
    const job = await tenant.client.jobs.run('publishing', { product_id, account_id: accountId });
    expect(job).toMatchObject({
      state: 'failed',
      retry_count: 0,
      error: { code: 'ListingRefusedError', task: 'validate' },
    });
    expect(job.error?.message).toContain('title: has 100 characters; at most 80 are allowed');
    expect((await seller.data()).calls).toEqual([]);
  });

  it('M12 keeps products, accounts and credentials from other tenants', { timeout: TIMEOUT }, async () => {
    const [mine, theirs] = [await openShop('ebay'), await openShop('ebay')];
    const { apiKey, client } = mine.tenant;
    const product_id = await theirs.product(1);
    const own = await mine.product(1);
    const answers = await Promise.all([
      call('GET', `/products/${product_id}`, { apiKey }),
      call('DELETE', `/products/${product_id}`, { apiKey }),
      call('GET', `/marketplace-accounts/${theirs.accountId}`, { apiKey }),
      call('DELETE', `/marketplace-accounts/${theirs.accountId}`, { apiKey }),
      call('PUT', `/marketplace-accounts/${theirs.accountId}/credentials`, {
        apiKey,
        body: { credentials: mine.seller.credentials },
      }),
      ...[
        { product_id, account_id: mine.accountId },
        { product_id: own, account_id: theirs.accountId },
      ].map((input) => call('POST', '/jobs', { apiKey, body: { workflow: 'publishing', input } })),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    expect((await client.products.list()).items.map(({ id }) => id)).toEqual([own]);
    expect((await client.marketplaceAccounts.list()).items.map(({ id }) => id)).toEqual([mine.accountId]);
    const [file] = (await theirs.tenant.client.products.get(product_id)).image_file_ids;
    const stolen = { ...(await client.products.get(own)), image_file_ids: [file ?? ''] };
    const { id: _id, created_at: _at, ...body } = stolen;
    await expect(client.products.create(body)).rejects.toMatchObject({ code: 'FileNotFoundError' });
    const told = JSON.stringify([
      await client.marketplaceAccounts.list(),
      await client.marketplaceAccounts.get(mine.accountId),
    ]);
    const { client_secret, refresh_token } = mine.seller.credentials;
    for (const secret of [client_secret, refresh_token]) expect(told).not.toContain(secret);
  });

  it('forgets a product and an account, and refuses jobs of them', { timeout: TIMEOUT }, async () => {
    const { tenant, accountId, product } = await openShop('etsy');
    const { client } = tenant;
    const input = { product_id: await product(1), account_id: accountId };
    await client.products.delete(input.product_id);
    await expect(client.jobs.create('publishing', input)).rejects.toMatchObject({ code: 'ProductNotFoundError' });
    await client.marketplaceAccounts.delete(accountId);
    await expect(client.marketplaceAccounts.get(accountId)).rejects.toBeInstanceOf(MillraceError);
    await expect(client.jobs.create('publishing', { ...input, marketplace: 'ebay' })).rejects.toMatchObject({
      code: 'MarketplaceAccountNotFoundError',
    });
  });
});
