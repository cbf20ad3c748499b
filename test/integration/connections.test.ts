import { execFile } from 'node:child_process';
import dns from 'node:dns/promises';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';

/** An address that leads nowhere (RFC 5737). */
const ELSEWHERE = '192.0.2.1';
const REFUSED = { code: 'ERR_TESTS_CONNECT_LOCALLY' };

const takeRefused = () => globalThis.refusedConnections.splice(0);
afterEach(() => void takeRefused());

function connectTo(options: { host: string; port: number; lookup?: (...args: never[]) => void }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(options as never, resolve);
    socket.once('error', reject);
    onTestFinished(() => void socket.destroy());
  });
}

describe('a test', () => {
  test('connects to no other machine, and a test that tries is told of by name', async () => {
    await expect(connectTo({ host: ELSEWHERE, port: 80 })).rejects.toMatchObject(REFUSED);
    await expect(fetch(`http://${ELSEWHERE}/`)).rejects.toMatchObject({ cause: REFUSED });
    await expect(fetch(`https://[2001:db8::1]/`)).rejects.toMatchObject({ cause: REFUSED });
    expect(takeRefused()).toEqual([`${ELSEWHERE}:80`, `${ELSEWHERE}:80`, '2001:db8::1:443']);
  });

  test('asks nobody for a name that only others know', async () => {
    await expect(fetch('https://example.com/')).rejects.toMatchObject({ cause: REFUSED });
    await expect(dns.lookup('example.com')).rejects.toMatchObject(REFUSED);
    expect(takeRefused()).toEqual(['example.com', 'example.com']);
  });

  test('cannot be led elsewhere by a lookup of its own', async () => {
    const lookup = (_host: string, _options: object, done: (...answer: unknown[]) => void) =>
      done(null, [{ address: ELSEWHERE, family: 4 }]);
    await expect(connectTo({ host: 'localhost', port: 80, lookup })).rejects.toMatchObject(REFUSED);
    expect(takeRefused()).toEqual([`${ELSEWHERE} (localhost)`]);
  });

  test('connects to this machine', async () => {
    const server = createServer((_request, response) => response.end('here'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('here');
    expect(await (await fetch(`http://localhost:${port}`)).text()).toBe('here');
    expect(takeRefused()).toEqual([]);
  });

  test('has processes and threads that connect to no other machine either', async () => {
    const program = `fetch('http://${ELSEWHERE}/').catch(({ cause }) => console.log(cause.code))`;
    const folder = await mkdtemp(join(tmpdir(), 'connections-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'thread.mjs'), program);
    const thread = `new (require('node:worker_threads').Worker)(${JSON.stringify(join(folder, 'thread.mjs'))})`;
    for (const source of [program, thread]) {
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', source]);
      expect(stdout.trim()).toBe(REFUSED.code);
    }
  });
});
