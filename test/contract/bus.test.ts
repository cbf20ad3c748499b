import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { CreateEventBusCommand, DeleteEventBusCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { UploadEvent } from '../../contract/events/uploads.ts';
import type { Event } from '../../contract/events.ts';
import { EventBridgeBus } from '../../platform/aws/eventbridge-bus.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteBus } from '../../platform/embedded/sqlite-bus.ts';
import type { BusConsumer } from '../../platform/ports/bus.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { silentLog } from '../support/workflow-world.ts';

function uploadCompleted(): Event {
  const upload_id = `upl_${systemClock.newId()}`;
  const file_id = `file_${systemClock.newId()}`;
  return UploadEvent.parse({
    id: systemClock.newId(),
    type: 'upload.completed',
    tenant_id: 'acme',
    time: new Date().toISOString(),
    data: { upload_id, state: 'completed', file_id, size_bytes: 7 },
  });
}

const idsOf = (events: readonly Event[]) => events.map(({ id }) => id).sort();

/** A consumer that keeps what it got and fails as often as it is told to. */
function collector(failures = 0) {
  const tries: Event[] = [];
  const taken: Event[] = [];
  const consumer: BusConsumer = async (event) => {
    tries.push(event);
    if (tries.length <= failures) throw new Error('not now');
    taken.push(event);
  };
  return { tries, taken, consumer };
}

describe('the bus, embedded', () => {
  const openBus = (maxTries?: number, database = openDatabase(':memory:')) => ({
    database,
    bus: new SqliteBus({ database, log: silentLog, maxTries }),
  });

  it('gives every event to every subscriber of its type', async () => {
    const { bus } = openBus();
    const [one, other, third] = [collector(), collector(), collector()];
    bus.subscribe('one', ['upload.completed'], one.consumer);
    bus.subscribe('other', ['upload.completed', 'job.completed'], other.consumer);
    bus.subscribe('third', ['job.completed'], third.consumer);
    bus.start();
    const events = Array.from({ length: 25 }, uploadCompleted);
    await bus.publish(events);
    await bus.drain();
    expect(idsOf(one.taken)).toEqual(idsOf(events));
    expect(idsOf(other.taken)).toEqual(idsOf(events));
    expect(one.taken).toEqual(expect.arrayContaining(events));
    expect(third.taken).toEqual([]);
    await bus.stop();
  });

  it('delivers again what a consumer threw at, without holding up other events and subscribers', async () => {
    const { bus } = openBus();
    const [failing, healthy] = [collector(2), collector()];
    bus.subscribe('failing', ['upload.completed'], failing.consumer);
    bus.subscribe('healthy', ['upload.completed'], healthy.consumer);
    bus.start();
    const events = Array.from({ length: 4 }, uploadCompleted);
    await bus.publish(events);
    await vi.waitFor(() => expect(failing.taken.length).toBeGreaterThanOrEqual(2), 10_000);
    expect(idsOf(healthy.taken)).toEqual(idsOf(events));
    await bus.drain();
    expect(idsOf(failing.taken)).toEqual(idsOf(events));
    expect(failing.tries.length).toBe(6);
    expect(healthy.tries.length).toBe(4);
    await bus.stop();
  });

  it('gives an event up after its tries and keeps it', async () => {
    const { bus, database } = openBus(3);
    const { consumer, tries } = collector(Number.POSITIVE_INFINITY);
    bus.subscribe('failing', ['upload.completed'], consumer);
    bus.start();
    const event = uploadCompleted();
    await bus.publish([event]);
    await bus.drain();
    expect(tries.length).toBe(3);
    const dead = database.prepare('SELECT queue, id, body, error FROM deliveries WHERE dead = 1').all();
    expect(dead).toMatchObject([{ queue: 'bus:failing', id: event.id, error: 'Error: not now' }]);
    expect(JSON.parse(String(dead[0]?.body))).toEqual(event);
    await bus.stop();
  });

  it('delivers after a restart what was published and not taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bus-'));
    const path = join(folder, 'bus.db');
    const first = openBus(undefined, openDatabase(path));
    const refused = collector(Number.POSITIVE_INFINITY);
    first.bus.subscribe('one', ['upload.completed'], refused.consumer);
    const events = Array.from({ length: 12 }, uploadCompleted);
    await first.bus.publish(events);
    first.bus.start();
    await vi.waitFor(() => expect(refused.tries.length).toBeGreaterThan(0), 10_000);
    await first.bus.stop();
    first.database.close();

    const second = openBus(undefined, openDatabase(path));
    const one = collector();
    second.bus.subscribe('one', ['upload.completed'], one.consumer);
    second.bus.start();
    await second.bus.drain();
    expect(idsOf(one.taken)).toEqual(idsOf(events));
    await second.bus.stop();
    second.database.close();
    rmSync(folder, { recursive: true });
  });

  it('stops when the deliveries that run have ended, and begins no more', async () => {
    const { bus } = openBus();
    const taken: string[] = [];
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    bus.subscribe('one', ['upload.completed'], async (event) => {
      await held;
      taken.push(event.id);
    });
    bus.start();
    await bus.publish(Array.from({ length: 20 }, uploadCompleted));
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = bus.stop();
    release();
    await stopped;
    const count = taken.length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(20);
    bus.start();
    await bus.drain();
    expect(new Set(taken).size).toBe(20);
    await bus.stop();
  });
});

const endpoint = process.env.LOCALSTACK_ENDPOINT;
if (endpoint) {
  describe('the bus, AWS', () => {
    const busName = `contract-${randomUUID()}`;
    const client = new EventBridgeClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    beforeAll(() => client.send(new CreateEventBusCommand({ Name: busName })));
    afterAll(async () => {
      await client.send(new DeleteEventBusCommand({ Name: busName }));
      client.destroy();
    });

    it('takes more events than one call holds', async () => {
      await new EventBridgeBus({ client, busName }).publish(Array.from({ length: 25 }, uploadCompleted));
    });
  });
}

describe('the bus on EventBridge under load', () => {
  /** Answers PutEvents as EventBridge does, and refuses the entries of the first calls that it is told to. */
  async function refusing(refusals: readonly (readonly number[])[]) {
    const calls: string[][] = [];
    const server = createServer(async (request, response) => {
      const { Entries } = (await json(request)) as { Entries: { Detail: string }[] };
      const refused = refusals[calls.length] ?? [];
      calls.push(Entries.map(({ Detail }) => JSON.parse(Detail).id));
      const entries = Entries.map((_, index) =>
        refused.includes(index) ? { ErrorCode: 'ThrottlingException' } : { EventId: String(index) },
      );
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(JSON.stringify({ FailedEntryCount: refused.length, Entries: entries }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = new EventBridgeClient({
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    onTestFinished(() => {
      client.destroy();
      server.close();
    });
    return { calls, bus: new EventBridgeBus({ client, busName: 'events' }) };
  }

  it('puts again the entries that were refused, and only those', async () => {
    const { calls, bus } = await refusing([[], [0, 1], [1]]);
    const events = Array.from({ length: 12 }, uploadCompleted);
    const ids = events.map(({ id }) => id);
    await bus.publish(events);
    expect(calls).toEqual([ids.slice(0, 10), ids.slice(10), ids.slice(10), ids.slice(11)]);
  });

  it('tells that the bus is busy when entries are refused again and again', async () => {
    const { calls, bus } = await refusing(Array.from({ length: 9 }, () => [0]));
    await expect(bus.publish([uploadCompleted()])).rejects.toMatchObject({ code: 'ServiceBusyError' });
    expect(calls.length).toBe(5);
  });
});
