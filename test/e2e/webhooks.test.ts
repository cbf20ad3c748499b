import { Webhook } from 'standardwebhooks';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeBytes, newTenant, runCli, SLOWER, target, tempFolder, until } from '../support/e2e-world.ts';
import { callFunction } from '../support/lambda-functions.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

const TIMEOUT = 60_000 * SLOWER;

/** A receiver on this machine, for the engine that reaches it; the others' functions get a 404 of the API itself. */
async function openReceiver(): Promise<Pick<WebhookReceiver, 'url' | 'received'> & { reached: boolean }> {
  if (target.engine !== 'embedded') {
    const { pathname, origin } = new URL(target.url);
    const base = target.engine === 'localstack' ? 'http://localhost.localstack.cloud:4566' : origin;
    return { url: `${base}${pathname}/no/such/route`, received: [], reached: false };
  }
  const receiver = await startWebhookReceiver();
  onTestFinished(() => receiver.close());
  return { ...receiver, reached: true };
}

describe('a webhook', () => {
  it('is told of jobs and uploads, what became of each message is in its log, and one is sent again by hand', {
    timeout: TIMEOUT,
  }, async () => {
    const { client } = await newTenant();
    const { url, received, reached } = await openReceiver();
    const webhook = await client.webhooks.create({ url, events: ['job.completed', 'upload.aborted'] });
    expect(await client.webhooks.get(webhook.id)).toMatchObject({ url, enabled: true });
    const deliveries = async () => (await client.webhooks.deliveries(webhook.id)).items;
    const attempted = (count: number, ofId?: string) =>
      until('attempts', async () => {
        const all = (await deliveries()).filter(({ id }) => ofId === undefined || id === ofId);
        const attempts = all.flatMap((delivery) => delivery.attempts);
        return attempts.length >= count ? all : undefined;
      });
    const job = await client.jobs.run('drill', { items: 1 });
    const [delivery] = await attempted(1);
    expect(delivery).toMatchObject({
      type: 'job.completed',
      payload: { data: { job_id: job.id, state: 'completed' } },
    });
    expect(delivery?.attempts[0]?.status).toBe(reached ? 204 : 404);
    expect(delivery?.state).toBe(reached ? 'delivered' : 'pending');
    await client.webhooks.redeliver(webhook.id, delivery?.id ?? '');
    // There the address has failed: its messages wait for the schedule, which runs every minute.
    if (target.engine === 'localstack') await callFunction(/^Sends messages to webhooks whose next attempt is due/);
    await attempted(2, delivery?.id);

    const stop = new AbortController();
    const sending = client.uploads.upload(makeBytes(1_000), {
      signal: stop.signal,
      onSession: () => stop.abort(),
    });
    await expect(sending).rejects.toMatchObject({ code: 'AbortedError' });
    const [upload] = (await client.uploads.list()).items;
    await client.uploads.abort(upload?.id ?? '');
    await until('the upload is told', async () => {
      const found = (await deliveries()).find(({ type }) => type === 'upload.aborted');
      return found?.payload;
    });
    if (!reached) return;
    await until('all have come', async () => (received.length === 3 ? true : undefined));
    for (const { headers, body } of received) {
      expect(() => new Webhook(webhook.secret).verify(body, headers as Record<string, string>)).not.toThrow();
    }
  });

  it('is made, looked at and deleted from the command line', { timeout: TIMEOUT }, async () => {
    const tenant = await newTenant();
    const folder = await tempFolder();
    const { url } = await openReceiver();
    const made = await runCli(folder, tenant, 'webhooks', 'create', url, '--event', 'job.failed');
    expect([made.exit, made.stderr]).toEqual([0, '']);
    const { id, secret } = made.events[0].webhook;
    expect(secret).toMatch(/^whsec_/);
    const rotated = await runCli(folder, tenant, 'webhooks', 'rotate', id, '--overlap-hours', '1');
    expect(rotated.events[0].secret).not.toBe(secret);
    const listed = await runCli(folder, tenant, 'webhooks', 'ls');
    expect(listed.events).toMatchObject([{ webhook: { id, url, events: ['job.failed'] } }]);
    expect(listed.stdout).not.toContain('whsec_');
    expect((await runCli(folder, tenant, 'webhooks', 'redeliver', id, 'job_x-1')).exit).toBe(3);
    expect((await runCli(folder, tenant, 'webhooks', 'rm', id)).exit).toBe(0);
    expect((await tenant.client.webhooks.list()).items).toEqual([]);
  });
});
