import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { Millrace, memoryStateStore } from '../../client/index.ts';

const JOB = 'job_01JD3Z8J3V8K4N5Q6R7S8T9V0W';
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const event = (cursor: number, state = 'running') => {
  const common = { id: `${JOB}-1-${state}`, time: '2026-01-01T00:00:00.000Z', tenant_id: 'acme' };
  return { ...common, type: `job.${state}`, data: { job_id: JOB, state, attempt: 1 }, cursor: String(cursor) };
};
const ALL = [event(1, 'queued'), event(2), event(3), event(4), event(5, 'completed')];

interface Script {
  /** What is said when the client subscribes for the nth time, from 0. */
  readonly onSubscribe: (say: (message: object) => void, nth: number, socket: WebSocket) => void;
  readonly onPoll?: (after: number) => object[];
  /** Whether a client is told of the WebSocket when it asks for it. */
  readonly hasSocket?: () => boolean;
}

/** A server that plays a script; `trace` has what the client asked for. */
async function play({ onSubscribe, onPoll = () => [], hasSocket = () => true }: Script) {
  const trace: string[] = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    const answer = (body: object) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    if (pathname === '/live') return answer(hasSocket() ? { websocket_url: url.replace('http', 'ws') } : {});
    if (pathname === `/jobs/${JOB}`) return answer({ id: JOB, state: 'completed', attempt: 1 });
    trace.push(`poll ${searchParams.get('after') ?? ''}`);
    return answer({ items: onPoll(Number(searchParams.get('after') ?? 0)) });
  });
  const sockets = new WebSocketServer({ server });
  let subscriptions = 0;
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => {
      const { type, after = '' } = JSON.parse(String(data));
      trace.push(`${type} ${after}`);
      if (type === 'subscribe') onSubscribe((message) => socket.send(JSON.stringify(message)), subscriptions++, socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  closing.push(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
    server.closeAllConnections();
  });
  const client = new Millrace({ url, apiKey: 'mr_test', state: memoryStateStore() });
  return { client, trace };
}

async function watch(client: Millrace): Promise<string[]> {
  const cursors: string[] = [];
  for await (const { cursor } of client.jobs.watch(JOB)) cursors.push(cursor);
  return cursors;
}

const events = (items: object[], after?: number) => ({
  type: 'events',
  topic: JOB,
  items,
  ...(after === undefined ? {} : { after: String(after) }),
});

describe('a watch by WebSocket', () => {
  test('asks again for what lies between the last event seen and one that is pushed', async () => {
    const { client, trace } = await play({
      onSubscribe: (say, nth) => {
        if (nth === 0) {
          say(events(ALL.slice(0, 1)));
          say({ type: 'subscribed', topic: JOB });
          say(events(ALL.slice(3, 4), 3));
        } else {
          // What is pushed while the answer is on its way is in it, or comes after it.
          say(events(ALL.slice(4), 4));
          say(events(ALL.slice(1, 3), 1));
          say(events(ALL.slice(3), 3));
          say({ type: 'subscribed', topic: JOB, ended: true });
        }
      },
    });
    expect(await watch(client)).toEqual(['1', '2', '3', '4', '5']);
    expect(trace).toEqual(['subscribe ', 'subscribe 1']);
  });

  test('does not begin in the middle, with an event that is pushed before the answer', async () => {
    const { client } = await play({
      onSubscribe: (say) => {
        say(events(ALL.slice(2, 3), 2));
        say(events(ALL));
        say({ type: 'subscribed', topic: JOB, ended: true });
      },
    });
    expect(await watch(client)).toEqual(['1', '2', '3', '4', '5']);
  });

  test('drops what it has seen', async () => {
    const { client } = await play({
      onSubscribe: (say) => {
        say(events(ALL.slice(0, 3)));
        say(events(ALL.slice(1, 4), 1));
        say(events(ALL.slice(0, 2)));
        say(events(ALL.slice(4), 4));
      },
    });
    expect(await watch(client)).toEqual(['1', '2', '3', '4', '5']);
  });

  test('polls while its connection is gone, and where its subscription is refused', async () => {
    const onPoll = (after: number) => ALL.slice(after);
    let isGone = false;
    const cut = await play({
      onSubscribe: (say, _, socket) => {
        say(events(ALL.slice(0, 2)));
        isGone = true;
        // Its pong says that the client has what was sent before.
        socket.once('pong', () => socket.terminate());
        socket.ping();
      },
      onPoll,
      hasSocket: () => !isGone,
    });
    expect(await watch(cut.client)).toEqual(['1', '2', '3', '4', '5']);
    expect(cut.trace).toEqual(['subscribe ', 'poll 2']);
    const refused = await play({
      onSubscribe: (say) => say({ type: 'error', topic: JOB, error: 'TooManyRequestsError', message: 'too many' }),
      onPoll,
    });
    expect(await watch(refused.client)).toEqual(['1', '2', '3', '4', '5']);
    expect(refused.trace).toEqual(['subscribe ', 'poll ']);
  });
});

describe('a watch of all states', () => {
  test('asks again when nothing has answered it for 20 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    closing.push(() => vi.useRealTimers());
    const asked = Promise.withResolvers<void>();
    const items = [{ job_id: JOB, state: 'running' }];
    const { client, trace } = await play({
      onSubscribe: (say, nth) => {
        if (nth === 0) return asked.resolve();
        say({ type: 'snapshot', topic: 'tenant', items });
        say({ type: 'subscribed', topic: 'tenant' });
      },
    });
    const updates = client.live.watch();
    const first = updates.next();
    await asked.promise;
    vi.setSystemTime(Date.now() + 20_000);
    expect((await first).value).toEqual({ type: 'snapshot', items, truncated: false });
    await updates.return();
    expect(trace).toEqual(['subscribe ', 'subscribe ']);
  });
});
