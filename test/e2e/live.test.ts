import { describe, expect, it } from 'vitest';
import type { JobEvent, UploadEvent } from '../../client/index.ts';
import { makeBytes, newTenant, SLOWER } from '../support/e2e-world.ts';

const TIMEOUT = 60_000 * SLOWER;

describe('live events', () => {
  it('T7 tells a watcher every event of a job and of an upload, once and in order', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 5 });
    const seen: JobEvent[] = [];
    for await (const event of client.jobs.watch(job.id)) seen.push(event);
    const states = seen.flatMap((event) => (event.type === 'job.state_changed' ? [event.state] : []));
    expect(states).toEqual(['queued', 'running', 'completed']);
    expect(seen.map(({ cursor }) => cursor)).toEqual(seen.map(({ cursor }) => cursor).sort());

    const file = await client.uploads.upload(makeBytes(1_000), { name: 'a.bin' });
    const told: UploadEvent[] = [];
    for await (const event of client.uploads.watch(file.upload_id)) told.push(event);
    expect(told).toMatchObject([
      { state: 'open' },
      { state: 'completing', previous: 'open' },
      { state: 'completed', previous: 'completing', file_id: file.id, time: file.created_at },
    ]);
  });
});
