import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { GatewayPush } from '../../platform/aws/gateway-push.ts';
import { WsPush } from '../../platform/embedded/ws-push.ts';
import { silentLog } from '../support/workflow-world.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

describe('over WebSockets of this process', () => {
  async function openPush() {
    const said: string[] = [];
    const closed: string[] = [];
    const push = new WsPush({ protocol: 'v1', log: silentLog });
    const listener = {
      onMessage: async (id: string, message: string) => void said.push(`${id}: ${message}`),
      onClose: async (id: string) => void closed.push(id),
    };
    let count = 0;
    const server = createServer();
    server.on('upgrade', (request, socket, head) => {
      count += 1;
      push.accept(`c${count}`, { request, socket, head, listener });
    });
    const port = await listen(server);
    closing.push(() => push.stop());
    return { push, said, closed, port };
  }

  test('tells a client, hears it, and knows when it is gone', async () => {
    const { push, said, closed, port } = await openPush();
    const client = new WebSocket(`ws://127.0.0.1:${port}`, ['v1', 'bearer.x']);
    await once(client, 'open');
    expect(client.protocol).toBe('v1');
    client.send('hello');
    await vi.waitFor(() => expect(said).toEqual(['c1: hello']), 10_000);
    const message = once(client, 'message');
    expect(await push.send('c1', 'hello yourself')).toBe(true);
    expect(String((await message)[0])).toBe('hello yourself');
    const end = once(client, 'close');
    await push.close('c1', 4_408);
    expect((await end)[0]).toBe(4_408);
    await vi.waitFor(() => expect(closed).toEqual(['c1']), 10_000);
    expect(await push.send('c1', 'anybody?')).toBe(false);
    await push.close('c1', 4_408);
  });

  test('closes a connection whose client does not answer pings', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const { said, closed, port } = await openPush();
    const alive = new WebSocket(`ws://127.0.0.1:${port}`, ['v1']);
    await once(alive, 'open');
    const dead = connect(port, '127.0.0.1');
    onTestFinished(() => void dead.destroy());
    dead.on('error', () => {});
    const lines = [
      'GET / HTTP/1.1',
      'Host: x',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
    ];
    dead.write(`${lines.join('\r\n')}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
    await once(dead, 'data');
    const pinged = once(alive, 'ping');
    vi.advanceTimersByTime(20_000);
    await pinged;
    // The server hears it after the answer to the ping.
    alive.send('still here');
    await vi.waitFor(() => expect(said).toEqual(['c1: still here']), 10_000);
    vi.advanceTimersByTime(20_000);
    await vi.waitFor(() => expect(closed).toEqual(['c2']), 10_000);
    expect(alive.readyState).toBe(WebSocket.OPEN);
  });

  test('closes a client that leaves too much unread', async () => {
    const { push, closed, port } = await openPush();
    const client = new WebSocket(`ws://127.0.0.1:${port}`, ['v1']);
    client.on('error', () => {});
    await once(client, 'open');
    client.pause();
    const message = 'x'.repeat(32_000);
    await vi.waitFor(async () => {
      for (let count = 0; count < 100; count += 1) await push.send('c1', message);
      expect(await push.send('c1', message)).toBe(false);
    }, 10_000);
    client.terminate();
    await vi.waitFor(() => expect(closed).toEqual(['c1']), 10_000);
  });
});

describe('by the management API of API Gateway', () => {
  /** Answers requests in order with these statuses. */
  async function openGateway(...statuses: number[]) {
    const requests: { line: string; body: string; headers: IncomingMessage['headers'] }[] = [];
    const server = createServer(async (request, response) => {
      const { method, url, headers } = request;
      requests.push({ line: `${method} ${url}`, body: await text(request), headers });
      response.writeHead(statuses.shift() ?? 500, { connection: 'close' }).end();
    });
    const endpoint = `http://127.0.0.1:${await listen(server)}/v1`;
    const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret', sessionToken: 'session' };
    return { requests, push: new GatewayPush({ endpoint, region: 'us-east-1', credentials }) };
  }

  test('posts a signed message to the connection', async () => {
    const { requests, push } = await openGateway(200);
    expect(await push.send('L0SM9cOFvHcCIhw=', 'hello')).toBe(true);
    expect(requests).toMatchObject([{ line: 'POST /v1/@connections/L0SM9cOFvHcCIhw%3D', body: 'hello' }]);
    expect(requests[0]?.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/us-east-1\/execute-api\/aws4_request, SignedHeaders=[\w;-]*host[\w;-]*, Signature=[0-9a-f]{64}$/,
    );
    expect(requests[0]?.headers['x-amz-security-token']).toBe('session');
  });

  test('knows by 410 that a connection is gone', async () => {
    const { requests, push } = await openGateway(410, 410);
    expect(await push.send('c', 'hello')).toBe(false);
    await push.close('c');
    expect(requests.map(({ line }) => line)).toEqual(['POST /v1/@connections/c', 'DELETE /v1/@connections/c']);
  });

  test('tries again, and closes a connection that could not be told', async () => {
    const { requests, push } = await openGateway(429, 200, 503, 503, 503, 204);
    expect(await push.send('c', 'one')).toBe(true);
    expect(await push.send('c', 'two')).toBe(false);
    expect(requests.map(({ line }) => line.split(' ')[0])).toEqual(['POST', 'POST', 'POST', 'POST', 'POST', 'DELETE']);
  });

  test('fails loudly when it is not allowed to', async () => {
    const { push } = await openGateway(403);
    await expect(push.send('c', 'one')).rejects.toThrow('403');
  });
});
