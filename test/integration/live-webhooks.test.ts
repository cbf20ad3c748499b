import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { JobId } from '../../contract/common.ts';
import { PUBLISHED_TYPES } from '../../contract/events.ts';
import { MAX_WEBHOOKS_PER_TENANT } from '../../contract/limits.ts';
import type { WebhookDelivery } from '../../contract/webhooks.ts';
import { isPublicAddress } from '../../lambdas/webhooks/post-safely.ts';
import { deliveriesPk } from '../../lambdas/webhooks/records.ts';
import { sendDue, sendNew } from '../../lambdas/webhooks/send-deliveries.ts';
import type { Change, Key } from '../../platform/ports/table.ts';
import { type LiveWorld, openLiveWorld, otherTenant, tenant } from '../support/live-world.ts';
import { type ReceivedMessage, startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

const job = JobId.parse('job_01J00000000000000000000000');

let world: LiveWorld;
let receiver: WebhookReceiver;
beforeEach(async () => {
  world = openLiveWorld();
  // Signatures are good for five minutes of the real clock.
  world.clock.advance(Date.now() - world.clock.now().getTime());
  receiver = await startWebhookReceiver();
});
afterEach(async () => {
  await receiver.close();
  world.close();
});

async function create(more: object = {}) {
  const body = { url: receiver.url, events: [...PUBLISHED_TYPES], enabled: true, ...more };
  return (await world.handlers.createWebhook(world.request(body))).body as { id: string; secret: string };
}

/** Has the feeds consume what happened. */
async function tell(...changes: readonly Change[]): Promise<void> {
  await world.publish(changes);
  await sendNew(world.deps)(world.changesOf('live'));
}

async function deliveries(id: string): Promise<WebhookDelivery[]> {
  const { body } = await world.handlers.listWebhookDeliveries(world.request({}, { webhook_id: id }));
  return body?.items as WebhookDelivery[];
}

const verify = (secret: string, { headers, body }: ReceivedMessage): unknown =>
  new Webhook(secret).verify(body, headers as Record<string, string>);

describe('a webhook', () => {
  test('is told what it wants to know, once, in a message that its secret verifies', async () => {
    const { id, secret } = await create({ events: ['job.completed', 'upload.completed'] });
    const events = [world.jobEvent(job, 'running'), world.jobEvent(job, 'completed', { previous: 'running' })];
    await tell(...events);
    await tell(...events);
    expect(receiver.received).toHaveLength(1);
    const [message] = receiver.received as [ReceivedMessage];
    const [delivery] = await deliveries(id);
    expect(verify(secret, message)).toEqual({
      id: message.headers['webhook-id'],
      type: 'job.completed',
      time: world.clock.now().toISOString(),
      tenant_id: tenant,
      data: { job_id: job, workflow: 'line', state: 'completed', previous: 'running', attempt: 1 },
    });
    expect(message.headers['webhook-id']).toBe(delivery?.id);
    expect(delivery).toMatchObject({ type: 'job.completed', state: 'delivered', attempts: [{ status: 204 }] });
    expect(delivery?.next_attempt_at).toBeUndefined();
    expect(() => verify('whsec_bm90IHRoZSBzZWNyZXQgYXQgYWxs', message)).toThrow();
  });

  test('shows how long each attempt took, also of a row that was written with the old name', async () => {
    const { id } = await create();
    await tell(world.jobEvent(job, 'completed'));
    const [made] = (await deliveries(id))[0]?.attempts ?? [];
    expect(made?.duration_ms).toBeGreaterThanOrEqual(0);
    const { items } = await world.deps.table.query({ pk: deliveriesPk(tenant, id), limit: 1 });
    const old = { at: world.clock.now().toISOString(), milliseconds: 12, status: 204 };
    await world.deps.table.write({ op: 'update', key: items[0] as Key, set: { attempts: [old] } });
    expect((await deliveries(id))[0]?.attempts).toEqual([{ at: old.at, duration_ms: 12, status: 204 }]);
  });

  test('is tried again with longer and longer pauses, and has failed after the last', async () => {
    const { id } = await create();
    receiver.statuses.push(...Array(20).fill(500));
    await tell(world.jobEvent(job, 'failed'));
    const pauses: number[] = [];
    while (pauses.length < 20) {
      const [delivery] = await deliveries(id);
      if (delivery?.state !== 'pending') break;
      const pause = Date.parse(delivery.next_attempt_at ?? '') - world.clock.now().getTime();
      pauses.push(pause);
      world.clock.advance(pause - 1);
      const before = receiver.received.length;
      await sendDue(world.deps);
      expect(receiver.received).toHaveLength(before);
      world.clock.advance(1);
      await sendDue(world.deps);
    }
    expect(receiver.received).toHaveLength(11);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(pauses[0]).toBeLessThan(7_000);
    const [failed] = await deliveries(id);
    expect(failed?.attempts).toHaveLength(11);
    expect(failed?.attempts[0]).toMatchObject({ status: 500, error: 'the receiver answered 500' });
    const { body } = await world.handlers.getWebhook(world.request({}, { webhook_id: id }));
    expect(body?.failing_since).toBeDefined();
  });

  test('that fails holds up no new messages: they wait for the schedule, and a success ends that', async () => {
    const { id } = await create();
    receiver.statuses.push(503);
    await tell(world.jobEvent(job, 'running'));
    await tell(world.jobEvent(job, 'completed'));
    expect(receiver.received).toHaveLength(1);
    world.clock.advance(10_000);
    await sendDue(world.deps);
    expect((await deliveries(id)).map(({ state }) => state)).toEqual(['delivered', 'delivered']);
    const { body } = await world.handlers.getWebhook(world.request({}, { webhook_id: id }));
    expect(body?.failing_since).toBeUndefined();
    await tell(world.jobEvent(job, 'cancelled'));
    expect(receiver.received).toHaveLength(4);
  });

  test('whose address changes to another protocol has answered: its connection is closed, and nobody waits for it', async () => {
    const closed = Promise.withResolvers<void>();
    const odd = createServer((request, response) => {
      request.socket.once('close', () => closed.resolve());
      response.writeHead(101, { connection: 'Upgrade', upgrade: 'websocket' }).flushHeaders();
    });
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      odd.close();
      odd.closeAllConnections();
    });
    const { id } = await create({ url: `http://127.0.0.1:${(odd.address() as AddressInfo).port}/` });
    await tell(world.jobEvent(job, 'completed'));
    expect(await deliveries(id)).toMatchObject([{ attempts: [{ status: 101, error: 'the receiver answered 101' }] }]);
    await closed.promise;
  });

  test('gets one message from runners that try it at the same time, and another when one of them has died', async () => {
    await create();
    await world.publish([world.jobEvent(job, 'completed')]);
    const changes = world.changesOf('live');
    await Promise.all([sendNew(world.deps)(changes), sendNew(world.deps)(changes), sendDue(world.deps)]);
    expect(receiver.received).toHaveLength(1);
    const again = world.jobEvent(job, 'failed');
    await world.publish([again]);
    const dying = { ...world.deps, secrets: { get: () => Promise.reject(new Error('died')) } as never };
    await expect(sendNew(dying)(world.changesOf('live'))).rejects.toThrow('died');
    await sendDue(world.deps);
    expect(receiver.received).toHaveLength(1);
    world.clock.advance(61_000);
    await sendDue(world.deps);
    expect(receiver.received).toHaveLength(2);
  });

  test('is told a message again by hand', async () => {
    const { id, secret } = await create();
    await tell(world.jobEvent(job, 'completed'));
    const [delivery] = await deliveries(id);
    const params = { webhook_id: id, delivery_id: delivery?.id };
    const { status, body } = await world.handlers.redeliverWebhook(world.request({}, params));
    expect([status, body?.state]).toEqual([202, 'pending']);
    await sendNew(world.deps)(world.changesOf('live'));
    expect(receiver.received.map((message) => verify(secret, message))).toHaveLength(2);
    expect((await deliveries(id))[0]).toMatchObject({ state: 'delivered', attempts: [{}, {}] });
    const unknown = world.handlers.redeliverWebhook(world.request({}, { ...params, delivery_id: 'x' }));
    await expect(unknown).rejects.toMatchObject({ code: 'DeliveryNotFoundError' });
  });

  test('is signed with both secrets for some time after a rotation', async () => {
    const { id, secret } = await create();
    const params = { webhook_id: id };
    const { body } = await world.handlers.rotateWebhookSecret(world.request({ overlap_hours: 1 }, params));
    const next = body?.secret ?? '';
    await tell(world.jobEvent(job, 'running'));
    const [first] = receiver.received as [ReceivedMessage];
    for (const either of [secret, next]) expect(verify(either, first)).toBeDefined();
    world.clock.advance(3_600_001);
    await tell(world.jobEvent(job, 'completed'));
    const second = receiver.received[1] as ReceivedMessage;
    expect(second.headers['webhook-signature']?.toString().split(' ')).toHaveLength(1);
  });

  test('that is deleted or disabled is told nothing more, and its secret is gone', async () => {
    const { id } = await create();
    receiver.statuses.push(500, 500);
    await tell(world.jobEvent(job, 'running'));
    const params = { webhook_id: id };
    const update = { url: receiver.url, events: [...PUBLISHED_TYPES], enabled: false };
    await world.handlers.updateWebhook(world.request(update, params));
    await tell(world.jobEvent(job, 'completed'));
    world.clock.advance(60_000);
    await sendDue(world.deps);
    expect(receiver.received).toHaveLength(1);
    expect(await deliveries(id)).toMatchObject([
      { state: 'failed', attempts: [{}, { error: 'the webhook is disabled' }] },
    ]);
    await world.handlers.deleteWebhook(world.request({}, params));
    expect(await world.secrets.get(`webhooks/acme/${id}`)).toBeUndefined();
    await expect(world.handlers.getWebhook(world.request({}, params))).rejects.toMatchObject({
      code: 'WebhookNotFoundError',
    });
  });

  test('M12 is its own tenant’s, and told of that tenant alone', async () => {
    const { id } = await create();
    await tell(world.jobEvent(job, 'completed', {}, otherTenant));
    expect(receiver.received).toEqual([]);
    const asOther = (body: object = {}) => world.request(body, { webhook_id: id, delivery_id: 'x' }, otherTenant);
    const update = { url: receiver.url, events: [...PUBLISHED_TYPES], enabled: true };
    for (const call of [
      () => world.handlers.getWebhook(asOther()),
      () => world.handlers.updateWebhook(asOther(update)),
      () => world.handlers.deleteWebhook(asOther()),
      () => world.handlers.rotateWebhookSecret(asOther({ overlap_hours: 1 })),
      () => world.handlers.listWebhookDeliveries(asOther()),
      () => world.handlers.redeliverWebhook(asOther()),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'WebhookNotFoundError' });
    expect((await world.handlers.listWebhooks(asOther())).body?.items).toEqual([]);
  });

  test('is one of so many that a tenant may have', async () => {
    for (let count = 0; count < MAX_WEBHOOKS_PER_TENANT; count += 1) await create();
    await expect(create()).rejects.toMatchObject({ code: 'QuotaExceededError' });
  });
});

describe('an address of a webhook', () => {
  test.each([
    'http://example.com/told',
    'https://127.0.0.1/',
    'https://localhost/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://0x7f.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://10.1.2.3/',
    'https://user:secret@example.com/',
    'ftp://example.com/',
    'not a url',
  ])('is refused where it is not public, or not https: %s', async (url) => {
    world.close();
    world = openLiveWorld({ allowPrivate: false });
    await expect(create({ url })).rejects.toMatchObject({
      code: 'ValidationError',
      details: { problems: [{ field: 'url' }] },
    });
  });

  test('is looked at again at the connection: a name may lead elsewhere by then', async () => {
    const { id } = await create({ url: receiver.url.replace('127.0.0.1', 'localhost').replace('http:', 'https:') });
    await world.publish([world.jobEvent(job, 'completed')]);
    await sendNew({ ...world.deps, allowPrivate: false })(world.changesOf('live'));
    expect(receiver.received).toEqual([]);
    expect(await deliveries(id)).toMatchObject([{ attempts: [{ error: 'the address is not public' }] }]);
  });

  test.each([
    ['8.8.8.8', true],
    ['2606:4700::1111', true],
    ['0.0.0.0', false],
    ['100.64.1.1', false],
    ['172.31.255.255', false],
    ['192.168.1.1', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['fe80::1', false],
    ['fd00::1', false],
    ['::ffff:10.0.0.1', false],
    ['64:ff9b::a00:1', false],
    ['2002:7f00:1::', false],
    ['example.com', false],
  ])('%s is public: %s', (address, isPublic) => {
    expect(isPublicAddress(address)).toBe(isPublic);
  });
});
