import { describe, expect, it } from 'vitest';
import type { Millrace } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { lackOf } from '../support/capabilities.ts';
import { reconcileNow, takenSlots } from '../support/deployed-jobs.ts';
import { makeBytes, newTenant, patiently, type Tenant, target, until } from '../support/e2e-world.ts';
import { crashesOf, makeFunctionsCrash } from '../support/lambda-functions.ts';

const lack = lackOf('functions whose configuration the tests may change', target.engine);

/** For so long each process of a function that serves the tenant is killed at its nth write for it. */
const CRASHING_MS = 12_000;
const full = process.env.MILLRACE_FULL === '1';
const points = (writes: number) =>
  Array.from({ length: writes }, (_, index) => index + 1)
    .flatMap((n) => [`before-${n}`, `after-${n}`])
    // Every third, unless all are asked for: a killed task's lease takes a minute to lapse.
    .filter((_, index) => full || index % 3 === 0);

const bytes = makeBytes(100_000, 81);
const checksum = await crc64Nvme(bytes);

/** Plays with a tenant for each plan; the functions that match crash for all of them, as their logs tell. */
async function withCrashes(
  functions: RegExp,
  plans: readonly string[],
  play: (tenant: Tenant) => Promise<void>,
): Promise<string[]> {
  await makeFunctionsCrash(functions);
  // Their time counts from when they are warm.
  await play(await newTenant());
  const crashesEnd = Date.now() + CRASHING_MS;
  const played = plans.map(async (plan) => {
    const tenant = await newTenant(`crash-${plan}-${crashesEnd}`);
    await play(tenant).catch((error: unknown) => {
      throw new Error(`killed ${plan}: ${error}`, { cause: error });
    });
    return crashesOf(tenant.id);
  });
  // By itself reconcile comes every minute.
  const reconciled = until('nothing crashes any more', async () => Date.now() > crashesEnd || undefined).then(
    reconcileNow,
  );
  const [crashes] = await Promise.all([Promise.all(played), reconciled]);
  return crashes.flat();
}

const endedJob = (client: Millrace, jobId: string) =>
  until(
    'the job has ended',
    async () => {
      const job = await patiently(() => client.jobs.get(jobId));
      return ['completed', 'failed', 'cancelled'].includes(job.state) ? job : undefined;
    },
    300,
  );

async function playUpload({ client }: Tenant): Promise<void> {
  const file = await patiently(() => client.uploads.upload(bytes, { name: 'kept.bin' }));
  expect(file.receipt.checksum_crc64nvme).toBe(checksum);
  const files = await patiently(() => client.files.list());
  expect(files.items.map(({ id }) => id)).toEqual([file.id]);
  expect((await patiently(() => client.uploads.list({ state: 'open' }))).items).toEqual([]);
}

async function playJob({ id, client }: Tenant): Promise<void> {
  const idempotencyKey = crypto.randomUUID();
  const { id: jobId } = await patiently(() => client.jobs.create('drill', { items: 1 }, { idempotencyKey }));
  const ended = await endedJob(client, jobId);
  expect([ended.state, ended.attempt, ended.error]).toEqual(['completed', 1, undefined]);
  expect(ended.progress).toMatchObject({ completed_tasks: 3, total_tasks: 3, detail: { items: 1 } });
  const listed = await patiently(() => client.jobs.list());
  expect(listed.items.map((job) => job.id)).toEqual([jobId]);
  expect(await takenSlots(id)).toBe(0);
}

describe.skipIf(lack)(`functions killed between any two writes${lack ? ` (${lack})` : ''}`, () => {
  const plays = async (functions: RegExp, writes: number, play: (tenant: Tenant) => Promise<void>) => {
    const crashes = await withCrashes(functions, points(writes), play);
    // The last of the writes may not be reached while functions crash.
    expect(crashes.length).toBeGreaterThan(1);
  };

  it('U3 for uploads: there is the one file that was asked for', { timeout: 900_000 }, () =>
    plays(/^API: uploads/, 6, playUpload),
  );

  it('U6 for jobs: there is the one job that was asked for, ended right', { timeout: 900_000 }, () =>
    plays(/^(API: jobs|Dispatches jobs)/, 5, playJob),
  );

  // A killed task's lease takes a minute to lapse.
  it('U6 for tasks and settlement: the job ends right', { timeout: 900_000, tags: ['long'] }, () =>
    plays(/^(Settles a job|drill:)/, 4, playJob),
  );
});
