import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { openDatabase } from '../../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../../platform/embedded/sqlite-table.ts';
import { MarketplaceSandbox } from './sandbox.ts';

export interface SandboxServer {
  readonly url: string;
  close(): Promise<void>;
}

/** The sandbox in this process, on a free port of the loopback. */
export async function startSandboxServer(): Promise<SandboxServer> {
  const database = openDatabase(':memory:');
  const sandbox = new MarketplaceSandbox(new SqliteTable({ database, name: 'sandbox' }));
  const server = createServer((request, response) => {
    answer(sandbox, request, response).catch((error: unknown) => {
      response.writeHead(599).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      sandbox.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      database.close();
    },
  };
}

async function answer(sandbox: MarketplaceSandbox, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://sandbox');
  const outcome = await sandbox.handle({
    method: request.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: request.headers as Record<string, string>,
    body: new Uint8Array(await buffer(request)),
  });
  if (outcome === 'drop') return void response.destroy();
  const { status, headers, body } = outcome;
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, { ...(text && { 'content-type': 'application/json' }), ...headers }).end(text);
}
