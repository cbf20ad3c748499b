import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The system's Chromium, or the one that `CHROMIUM` names. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
}

/** Pages with a security policy that refuses something. */
const POLICIES: Readonly<Record<string, string>> = {
  // An origin that is nobody's: IndexedDB refuses it.
  '/sandboxed': 'sandbox allow-scripts',
  '/no-workers': "worker-src 'none'",
  '/no-sockets': 'connect-src http:',
};

const PAGE = `<!doctype html><title>client</title>
<input type="file" id="file"><input type="file" id="folder" webkitdirectory>
<script src="/client.js"></script>`;

/** Serves a page on loopback, with file inputs, that has the client's browser entry as `window.millrace`. */
export async function serveClientPage(): Promise<{ url: string; close(): Promise<void> }> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../client/browser.ts', import.meta.url))],
    bundle: true,
    format: 'iife',
    globalName: 'millrace',
    platform: 'browser',
    write: false,
  });
  const script = outputFiles[0]?.text ?? '';
  const server = createServer((request, response) => {
    const isScript = request.url === '/client.js';
    const policy = POLICIES[request.url ?? ''];
    response.writeHead(200, {
      'content-type': `${isScript ? 'text/javascript' : 'text/html'}; charset=utf-8`,
      ...(policy && { 'content-security-policy': policy }),
    });
    response.end(isScript ? script : PAGE);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
