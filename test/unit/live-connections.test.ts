import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BatchId, JobId, type TenantId } from '../../contract/common.ts';
import type { Scope } from '../../contract/keys.ts';
import { CLOSE_EXPIRED } from '../../contract/live.ts';
import { forgetConnection, openConnection } from '../../lambdas/live/connections.ts';
import { handleMessage } from '../../lambdas/live/messages.ts';
import { socketHandler } from '../../lambdas/live/socket-handler.ts';
import { createSockets } from '../../lambdas/live/sockets.ts';
import type { Change } from '../../platform/ports/table.ts';
import { type LiveWorld, openLiveWorld, otherTenant, tenant } from '../support/live-world.ts';

const job = JobId.parse('job_01J00000000000000000000000');
const batch = BatchId.parse('batch_01J00000000000000000000000');
const ALL: readonly Scope[] = ['jobs:read', 'uploads:read'];
const PROTOCOLS = 'millrace.v1, bearer.good';

let world: LiveWorld;
beforeEach(() => {
  world = openLiveWorld();
});
afterEach(() => world.close());

const authenticatorOf =
  (tenantId: TenantId, scopes = ALL) =>
  async () => ({ ...world.callerOf(tenantId), scopes });
const open = (connectionId: string, tenantId = tenant, scopes = ALL) =>
  openConnection(world.deps, authenticatorOf(tenantId, scopes), { connectionId, protocols: PROTOCOLS });
const say = (connectionId: string, message: unknown) =>
  handleMessage(world.deps, connectionId, typeof message === 'string' ? message : JSON.stringify(message));
const push = (...changes: readonly Change[]) => world.publish(changes);
const told = (connectionId: string) => world.sent.get(connectionId) ?? [];
const rows = async (pk: string) => (await world.connections.query({ pk, limit: 1_000 })).items;

/** A job with events, as version 0.1 of the jobs context stored it. */
async function keepJob(events: readonly { cursor: string; state: string }[], publishedState = 'running') {
  const pk = `T#${tenant}#J#${job}`;
  const last = events.at(-1)?.cursor ?? '';
  await world.jobs.putAll([
    { pk: `T#${tenant}#B#${batch}`, sk: 'BATCH', batch_id: batch },
    { pk: `T#${tenant}#B#${batch}`, sk: 'ITEM#000000', index: 0, job_id: job },
    {
      pk,
      sk: 'JOB',
      tenant_id: tenant,
      job_id: job,
      state: publishedState,
      workflow: 'line',
      batch_id: batch,
      g1pk: `T#${tenant}#JOBS`,
      g1sk: job,
    },
    { pk, sk: 'PROGRESS', last_event: last, published_state: publishedState, last_seq: last },
    ...events.map(({ cursor, state }) => ({ pk, sk: `EVENT#${cursor}`, type: 'job.state_changed', state, attempt: 1 })),
  ]);
}

describe('a connection', () => {
  test('is told what a job has been through after its cursor, and then what comes', async () => {
    await keepJob([
      { cursor: '01', state: 'queued' },
      { cursor: '02', state: 'running' },
    ]);
    await open('c1');
    await say('c1', { type: 'subscribe', topic: job, after: '01' });
    expect(told('c1')).toMatchObject([
      { type: 'events', topic: job, after: '01', items: [{ cursor: '02', type: 'job.running' }] },
      { type: 'subscribed', topic: job },
    ]);
    await push(world.jobEvent(job, 'completed', { follows: '02' }));
    expect(told('c1')[2]).toMatchObject({
      type: 'events',
      topic: job,
      after: '02',
      items: [{ type: 'job.completed', data: { state: 'completed' } }],
    });
    await say('c1', { type: 'unsubscribe', topic: job });
    await push(world.jobEvent(job, 'failed'));
    expect(told('c1')).toHaveLength(4);
  });

  test('hears that a job has ended, when there is no more of it', async () => {
    await keepJob([{ cursor: '01', state: 'completed' }], 'completed');
    await open('c1');
    await say('c1', { type: 'subscribe', topic: job, after: '01' });
    expect(told('c1')).toEqual([{ type: 'subscribed', topic: job, ended: true }]);
  });

  test('gets a batch as it is and then its changes, and nothing of other jobs', async () => {
    await keepJob([{ cursor: '01', state: 'running' }]);
    await open('c1');
    await say('c1', { type: 'subscribe', topic: batch });
    expect(told('c1')).toEqual([
      { type: 'snapshot', topic: batch, items: [{ job_id: job, state: 'running', workflow: 'line', batch_id: batch }] },
      { type: 'subscribed', topic: batch },
    ]);
    await push(world.jobEvent(job, 'completed', { batch_id: batch }), world.jobEvent(job, 'completed'));
    expect(told('c1').slice(2)).toMatchObject([
      { type: 'events', topic: batch, items: [{ data: { batch_id: batch } }] },
    ]);
  });

  test('gets many events in messages that fit a frame of API Gateway', async () => {
    await open('c1');
    await say('c1', { type: 'subscribe', topic: 'tenant' });
    const error = { code: 'X', message: 'x'.repeat(2_000) };
    await push(...Array.from({ length: 100 }, () => world.jobEvent(job, 'failed', { error })));
    const messages = told('c1').filter(({ type }) => type === 'events');
    expect(messages.length).toBeGreaterThan(6);
    for (const message of messages) expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(32_000);
    expect(messages.flatMap(({ items }) => items)).toHaveLength(100);
  });

  test('M12 is told nothing of other tenants, and that it has no such job', async () => {
    await keepJob([{ cursor: '01', state: 'running' }]);
    await open('c1', otherTenant);
    await say('c1', { type: 'subscribe', topic: job });
    await say('c1', { type: 'subscribe', topic: 'tenant' });
    await push(world.jobEvent(job, 'completed'));
    expect(told('c1')).toMatchObject([
      { type: 'error', topic: job, error: 'JobNotFoundError' },
      { type: 'subscribed', topic: 'tenant' },
    ]);
  });

  test('stays when its client says what nobody understands, or asks for what its credential does not allow', async () => {
    await keepJob([{ cursor: '01', state: 'running' }]);
    await open('c1', tenant, ['uploads:read']);
    for (const message of ['{', '"x"', { type: 'subscribe', topic: 'nothing' }]) await say('c1', message);
    await say('c1', { type: 'subscribe', topic: job });
    await say('c1', { type: 'subscribe', topic: 'tenant' });
    await say('c1', { type: 'ping' });
    expect(told('c1').map(({ type, error }) => error ?? type)).toEqual([
      'ValidationError',
      'ValidationError',
      'ValidationError',
      'ForbiddenError',
      'ForbiddenError',
      'pong',
    ]);
  });

  test('is told that its message failed, and about what, though it could not even be looked up', async () => {
    await open('c1');
    const failing = { ...world.deps, connections: { get: () => Promise.reject(new Error('throttled')) } as never };
    await handleMessage(failing, 'c1', JSON.stringify({ type: 'subscribe', topic: 'tenant' }));
    expect(told('c1')).toMatchObject([{ type: 'error', topic: 'tenant', error: 'InternalError' }]);
  });

  test('that is gone is forgotten with all its subscriptions, however that is noticed', async () => {
    await keepJob([{ cursor: '01', state: 'running' }]);
    for (const id of ['pushed', 'closed']) {
      await open(id);
      await say(id, { type: 'subscribe', topic: job });
      await say(id, { type: 'subscribe', topic: 'tenant' });
    }
    expect(await rows(`T#${tenant}#S#tenant`)).toHaveLength(2);
    world.gone.add('pushed');
    await push(world.jobEvent(job, 'completed'));
    await forgetConnection(world.deps, 'closed');
    for (const pk of ['C#pushed', 'C#closed', `T#${tenant}#S#tenant`, `T#${tenant}#S#${job}`])
      expect(await rows(pk)).toEqual([]);
    await say('closed', { type: 'subscribe', topic: job });
    expect(await rows(`T#${tenant}#S#${job}`)).toEqual([]);
  });

  test('whose time is over is closed, at the next event or message, so that a revoked credential is told no more', async () => {
    await keepJob([{ cursor: '01', state: 'running' }]);
    for (const id of ['c1', 'c2']) await open(id);
    await say('c1', { type: 'subscribe', topic: job });
    world.clock.advance(15 * 60_000);
    const before = told('c1').length;
    await push(world.jobEvent(job, 'completed'));
    await say('c2', { type: 'ping' });
    expect([...world.closed]).toEqual([
      ['c1', CLOSE_EXPIRED],
      ['c2', CLOSE_EXPIRED],
    ]);
    expect(told('c1')).toHaveLength(before);
    expect(await rows(`T#${tenant}#S#${job}`)).toEqual([]);
  });

  test('takes 100 subscriptions, of which one that is asked for again counts once', async () => {
    await open('c1');
    const topic = (n: number) => `batch_01J${String(n).padStart(23, '0')}`;
    for (let n = 0; n <= 100; n += 1)
      await world.jobs.putAll([{ pk: `T#${tenant}#B#${topic(n)}`, sk: 'BATCH', batch_id: topic(n) }]);
    for (let n = 0; n < 100; n += 1) await say('c1', { type: 'subscribe', topic: topic(n) });
    await say('c1', { type: 'subscribe', topic: topic(0) });
    expect(told('c1').filter(({ type }) => type === 'error')).toEqual([]);
    await say('c1', { type: 'subscribe', topic: topic(100) });
    expect(told('c1').at(-1)).toMatchObject({ type: 'error', error: 'TooManyRequestsError' });
    await say('c1', { type: 'unsubscribe', topic: topic(0) });
    await say('c1', { type: 'subscribe', topic: topic(100) });
    expect(told('c1').at(-1)).toMatchObject({ type: 'subscribed' });
  });
});

describe('the function of a WebSocket API', () => {
  const event = (routeKey: string, more: object = {}) => ({
    requestContext: { routeKey, connectionId: 'c1=', requestId: 'r' },
    ...more,
  });

  test('opens, serves and forgets connections', async () => {
    const handler = socketHandler(createSockets(world.deps, authenticatorOf(tenant)));
    const opened = await handler(event('$connect', { headers: { 'Sec-WebSocket-Protocol': PROTOCOLS } }));
    expect(opened).toEqual({ statusCode: 200, headers: { 'Sec-WebSocket-Protocol': 'millrace.v1' } });
    await handler(event('$default', { body: '{"type":"ping"}' }));
    expect(told('c1=')).toEqual([{ type: 'pong' }]);
    await handler(event('$disconnect'));
    expect(await rows('C#c1=')).toEqual([]);
  });

  test('refuses a connection without a credential', async () => {
    const handler = socketHandler(createSockets(world.deps, authenticatorOf(tenant)));
    const refused = await handler(event('$connect', { headers: {} }));
    expect(refused.statusCode).toBe(401);
    expect(JSON.parse(refused.body ?? '')).toMatchObject({ error: 'UnauthenticatedError' });
    expect(await rows('C#c1=')).toEqual([]);
  });
});
