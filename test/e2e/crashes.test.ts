import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Millrace, memoryStateStore } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import { lackOf } from '../support/capabilities.ts';
import { type Crash, startCrashingServer } from '../support/crashing-server.ts';
import { checkDataFolder, isQuiet, newDataFolder } from '../support/data-folder.ts';
import { makeBytes, patiently, target, tempFolder, unless, until } from '../support/e2e-world.ts';
import { faultsSeed, randomFrom } from '../support/random.ts';

const lack = lackOf('a server process that can be killed', target.engine);
const root = target.workspace ?? '';

/** Moments of each story, drawn by the seed; with MILLRACE_FULL=1 all of them, which takes an hour. */
const sample = process.env.MILLRACE_FULL === '1' ? Number.POSITIVE_INFINITY : Number(process.env.CRASH_SAMPLE ?? 1);

/** What a client does while its server crashes and comes back: it repeats what was not answered, and ends right. */
type Story = (client: Millrace) => Promise<void>;

const PART = 5 * MIB;
const bytes = makeBytes(PART + 1_000, 71);
const checksum = await crc64Nvme(bytes);

const uploads: Story = async ({ uploads, files }) => {
  const upload = (...args: Parameters<typeof uploads.upload>) => patiently(() => uploads.upload(...args));
  const file = await upload(bytes, { name: 'kept.bin', partSizeBytes: PART, concurrency: 1 });
  expect(file.receipt.checksum_crc64nvme).toBe(checksum);
  const gone = await upload(bytes.subarray(0, 1_000), { name: 'deleted.bin' });
  await unless('FileNotFoundError', () => files.delete(gone.id, { permanent: true }));
  const stop = new AbortController();
  let aborted = '';
  const onSession = ({ id }: { id: string }) => {
    aborted = id;
    stop.abort();
  };
  const stopped = upload(bytes.subarray(1), { name: 'aborted.bin', signal: stop.signal, onSession });
  await expect(stopped).rejects.toMatchObject({ code: 'AbortedError' });
  expect((await patiently(() => uploads.abort(aborted))).state).toBe('aborted');
  expect((await patiently(() => files.list())).items.map(({ id }) => id)).toEqual([file.id]);
  await expect(patiently(() => files.get(gone.id))).rejects.toMatchObject({ code: 'FileNotFoundError' });
  const stored = await until('the file is downloaded', async () => {
    const { url } = await patiently(() => files.downloadUrl(file.id));
    return fetch(url)
      .then((response) => response.arrayBuffer())
      .catch(() => undefined);
  });
  expect(await crc64Nvme(new Uint8Array(stored))).toBe(checksum);
};

async function createJob({ jobs }: Millrace, input: Record<string, unknown>): Promise<string> {
  const options = { maxRetries: 1, idempotencyKey: crypto.randomUUID() };
  return (await patiently(() => jobs.create('drill', input, options))).id;
}

const healing: Story = async (client) => {
  const id = await createJob(client, { items: 2, fail_item: 1, retryable: true });
  const ended = await client.jobs.wait(id);
  expect([ended.state, ended.attempt, ended.retry_count]).toEqual(['completed', 2, 1]);
};

const retried: Story = async (client) => {
  const id = await createJob(client, { items: 2, fail_item: 1 });
  const failed = await client.jobs.wait(id);
  expect([failed.state, failed.error?.code, failed.error?.task]).toEqual(['failed', 'InputDataError', 'work-1']);
  await unless('JobNotRetryableError', () => client.jobs.retry(id));
  const ended = await client.jobs.wait(id);
  expect([ended.state, ended.attempt]).toEqual(['completed', 2]);
};

const cancelled: Story = async (client) => {
  const id = await createJob(client, { items: 2, work_ms: 300_000 });
  await until('an item runs', async () => {
    const { items } = await patiently(() => client.jobs.tasks(id));
    return items.some((task) => task.id === 'work-0' && task.state === 'running') || undefined;
  });
  await unless('JobNotCancellableError', () => client.jobs.cancel(id));
  expect((await client.jobs.wait(id)).state).toBe('cancelled');
};

/** Answers what was written meanwhile. */
async function tell(story: Story, data: string, crashes: readonly Crash[]): Promise<string[]> {
  const server = await startCrashingServer({ root, data }, crashes);
  try {
    await story(new Millrace({ url: server.url, apiKey: server.apiKey, state: memoryStateStore() }));
    await until('nothing is under way', async () => isQuiet(data) || undefined);
    const writes = server.writes();
    await server.stop();
    await checkDataFolder(data);
    return writes;
  } finally {
    await server.stop();
  }
}

/** Without repeats. */
function draw<T>(from: readonly T[], count: number): T[] {
  const random = randomFrom(faultsSeed);
  const left = [...from];
  const drawOne = () => left.splice(Math.floor(random() * left.length), 1);
  return Array.from({ length: Math.min(count, left.length) }, drawOne).flat();
}

describe.skipIf(lack)(`the server killed between any two writes${lack ? ` (${lack})` : ''}`, () => {
  it.each([
    ['U3 an upload, a deletion and an abort', uploads],
    ['U6 a job that is tried again by itself', healing],
    ['U6 a job that failed and is retried by hand', retried],
    ['U8 a job that is cancelled while it runs', cancelled],
  ])(
    '%s: ends right, and nothing is left over',
    { timeout: 120_000 + 60_000 * Math.min(sample, 400) },
    async (_, story) => {
      const folder = await tempFolder();
      const fresh = await newDataFolder(join(folder, 'fresh'), root);
      let runs = 0;
      const tellAnew = async (crashes: readonly Crash[]) => {
        runs += 1;
        const data = join(folder, `run-${runs}`);
        await cp(fresh, data, { recursive: true });
        const writes = await tell(story, data, crashes);
        await rm(data, { recursive: true });
        return writes;
      };
      const writes = await tellAnew([]);
      const points = writes.flatMap((_, index) =>
        (['before', 'after'] as const).map((when): Crash => ({ at: index + 1, when })),
      );
      for (const crash of draw(points, sample)) {
        await tellAnew([crash]).catch((error: unknown) => {
          const where = `${crash.when} write ${crash.at}, ${writes[crash.at - 1]?.trim()}`;
          throw new Error(`killed ${where} (FAULTS_SEED=${faultsSeed}): ${error}`, { cause: error });
        });
      }
    },
  );
});
