import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { JobEvent, LiveUpdate, UploadEvent } from '../../client/index.ts';
import { CREDENTIAL_PROTOCOL, LIVE_PROTOCOL } from '../../contract/live.ts';
import { lackOf } from '../support/capabilities.ts';
import { call, makeBytes, newTenant, openProxied, SLOWER, target, until } from '../support/e2e-world.ts';
import { faultsSeed, randomFrom } from '../support/random.ts';

const TIMEOUT = 60_000 * SLOWER;
const noSocket = lackOf('WebSockets', target.engine);
const noUploads = lackOf('checksums of whole objects', target.engine);

async function collect<T>(updates: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const update of updates) into.push(update);
  return into;
}

const statesOf = (events: readonly JobEvent[]) =>
  events.flatMap((event) => ('state' in event.data ? [event.data.state] : []));

describe('a watcher', () => {
  it('is told every event of a job once and in order, also when it comes late', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 5, work_ms: 300 });
    const [first, second] = await Promise.all([collect(client.jobs.watch(job.id)), collect(client.jobs.watch(job.id))]);
    expect(statesOf(first)).toEqual(['queued', 'running', 'completed']);
    expect(first.map(({ cursor }) => cursor)).toEqual(first.map(({ cursor }) => cursor).sort());
    expect(second).toEqual(first);
    expect(await collect(client.jobs.watch(job.id))).toEqual(first);
    expect(await collect(client.jobs.watch(job.id, { after: first[1]?.cursor ?? '' }))).toEqual(first.slice(2));
    expect(await collect(client.jobs.watch(job.id, { after: first.at(-1)?.cursor ?? '' }))).toEqual([]);
  });

  it.skipIf(noUploads)(
    `is told what becomes of an upload${noUploads ? ` (${noUploads})` : ''}`,
    {
      timeout: TIMEOUT,
    },
    async () => {
      const { client } = await newTenant();
      const file = await client.uploads.upload(makeBytes(1_000), { name: 'a.bin' });
      const told: UploadEvent[] = await collect(client.uploads.watch(file.upload_id));
      expect(told).toMatchObject([
        { type: 'upload.opened', data: { upload_id: file.upload_id, state: 'open' } },
        { type: 'upload.completing', data: { previous: 'open' } },
        { type: 'upload.completed', time: file.created_at, data: { previous: 'completing', file_id: file.id } },
      ]);
      expect(await collect(client.uploads.watch(file.upload_id, { after: told[1]?.cursor ?? '' }))).toEqual([told[2]]);
    },
  );

  it('misses nothing and is told nothing twice, though its connections are cut at random moments', {
    timeout: 2 * TIMEOUT,
  }, async ({ task }) => {
    const random = randomFrom(faultsSeed);
    const tenant = await newTenant();
    const { proxy, client } = await openProxied({ apiKey: tenant.apiKey });
    const jobs = await Promise.all(
      [3, 6, 9].map((items) => tenant.client.jobs.create('drill', { items, work_ms: 300 })),
    );
    let watching = true;
    const cutting = (async () => {
      while (watching) {
        await sleep(random() * 400);
        if (random() < 0.8) proxy.cutWebSockets();
        else {
          await proxy.goAway();
          await sleep(random() * 300);
          await proxy.comeBack();
        }
      }
    })();
    const seen = await Promise.all(jobs.map((job) => collect(client.jobs.watch(job.id)))).finally(() => {
      watching = false;
    });
    await cutting;
    task.meta.figures = { web_sockets: proxy.webSockets.opened };
    for (const [at, job] of jobs.entries()) {
      const all = await call('GET', `/jobs/${job.id}/events?limit=500`, { apiKey: tenant.apiKey });
      expect(seen[at], `seed ${faultsSeed}`).toEqual(all.body.items);
    }
  });

  it('M12 of a tenant is told the states as they are and then what changes, and nothing of other tenants', {
    timeout: TIMEOUT,
  }, async () => {
    const [mine, theirs] = [await newTenant(), await newTenant()];
    const before = await mine.client.jobs.run('drill', { items: 1 });
    const stop = new AbortController();
    const updates: LiveUpdate[] = [];
    const watching = collect(mine.client.live.watch({ signal: stop.signal }), updates);
    await until('a snapshot', async () => updates[0]);
    expect(updates[0]).toMatchObject({
      type: 'snapshot',
      items: [{ job_id: before.id, state: 'completed', workflow: 'drill' }],
      truncated: false,
    });
    const other = await theirs.client.jobs.run('drill', { items: 1 });
    const job = await mine.client.jobs.run('drill', { items: 2 });
    const isLast = (update: LiveUpdate | undefined) =>
      update?.type === 'snapshot'
        ? update.items.some((item) => 'job_id' in item && item.job_id === job.id && item.state === 'completed')
        : update?.type === 'job.completed' && update.data.job_id === job.id;
    await until('the last change', async () => updates.find(isLast));
    stop.abort();
    await expect(watching).rejects.toMatchObject({ code: 'AbortedError' });
    expect(JSON.stringify(updates)).not.toContain(other.id);
    await expect(collect(mine.client.jobs.watch(other.id))).rejects.toMatchObject({ code: 'JobNotFoundError' });
  });
});

describe.skipIf(noSocket)(`the WebSocket${noSocket ? ` (${noSocket})` : ''}`, () => {
  it('is one for all watchers of a client, in place of polls, and closed after the last', {
    timeout: TIMEOUT,
  }, async () => {
    const { proxy, client } = await openProxied();
    const jobs = await Promise.all([1, 2, 3].map((items) => client.jobs.create('drill', { items, work_ms: 200 })));
    const seen = await Promise.all(jobs.map((job) => collect(client.jobs.watch(job.id))));
    for (const events of seen) expect(statesOf(events)).toEqual(['queued', 'running', 'completed']);
    expect(proxy.webSockets.opened).toBe(1);
    expect(proxy.requests.filter((line) => line.includes('/events'))).toEqual([]);
    await until('it is closed', async () => (proxy.webSockets.open === 0 ? true : undefined));
  });

  it('carries the progress of a batch, and once that all of its jobs have ended', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const item = { workflow: 'drill', input: { items: 3, work_ms: 300 } };
    const batch = await client.batches.create({ jobs: [item, item, item] });
    const stop = new AbortController();
    const updates: LiveUpdate[] = [];
    const watching = collect(client.live.watch({ batchId: batch.id, signal: stop.signal }), updates);
    const isEnd = ({ type }: LiveUpdate) => type === 'batch.completed';
    await until('the end of the batch', async () => updates.find(isEnd));
    stop.abort();
    await expect(watching).rejects.toMatchObject({ code: 'AbortedError' });
    expect(updates.filter(isEnd)).toMatchObject([
      { data: { batch_id: batch.id, total: 3, completed: 3, percent: 100 } },
    ]);
  });

  it('is refused without a good credential, and to the root secret', { timeout: TIMEOUT }, async () => {
    const url = (await call('GET', '/live')).body.websocket_url;
    const opened = (protocols: string[]) =>
      new Promise<boolean>((resolve) => {
        const socket = new WebSocket(url, protocols);
        socket.onopen = () => resolve(true);
        socket.onclose = () => resolve(false);
      });
    const credential = (key: string) => [LIVE_PROTOCOL, `${CREDENTIAL_PROTOCOL}${key}`];
    expect(await opened([LIVE_PROTOCOL])).toBe(false);
    expect(await opened(credential(`mr_${'0'.repeat(26)}_${'a'.repeat(43)}`))).toBe(false);
    if (/^[\w-]+$/.test(target.rootSecret)) expect(await opened(credential(target.rootSecret))).toBe(false);
  });

  it('tells of progress within a second', { timeout: TIMEOUT }, async ({ task }) => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 20, work_ms: 200 });
    const seenAt = new Map<number, number>();
    for await (const event of client.jobs.watch(job.id)) {
      if (event.type === 'job.progress') seenAt.set(event.data.progress.completed_tasks, Date.now());
    }
    const { items } = await client.jobs.tasks(job.id, { limit: 500 });
    const ends = items.map(({ ended_at = '' }) => Date.parse(ended_at)).sort((a, b) => a - b);
    // A task is told of by the first event that counts it.
    const delays = ends.map((end, at) => {
      const told = [...seenAt].filter(([completed]) => completed > at).map(([, time]) => time);
      return Math.min(...told) - end;
    });
    delays.sort((a, b) => a - b);
    const quantile = (share: number) => delays[Math.floor(share * delays.length)] ?? Number.NaN;
    task.meta.figures = { p50_seconds: quantile(0.5) / 1_000, p95_seconds: quantile(0.95) / 1_000 };
    expect(quantile(0.5)).toBeLessThan(1_000 * SLOWER);
    // The bench holds it to a second, too; here whoever measures may stand still for one. What is not pushed takes 20.
    expect(quantile(0.95)).toBeLessThan(5_000 * SLOWER);
  });
});
