import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type * as browserClient from '../../client/browser.ts';
import { Millrace } from '../../client/index.ts';
import { CREDENTIAL_PROTOCOL, LIVE_PROTOCOL, type ServerMessage } from '../../contract/live.ts';
import { launchBrowser, serveClientPage } from '../support/browser.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../support/e2e-server.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { createWorkspace, type Workspace } from '../support/workspace.ts';

declare const millrace: typeof browserClient;

let workspace: Workspace;
let server: EmbeddedServer;
let browser: Browser;
let host: Awaited<ReturnType<typeof serveClientPage>>;
let page: Page;
let seen: Traffic;

beforeAll(async () => {
  workspace = await createWorkspace();
  [server, browser, host] = await Promise.all([
    startEmbeddedServer({ root: workspace.folder }),
    launchBrowser(),
    serveClientPage(),
  ]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
  await server?.close();
  await workspace?.remove();
});

beforeEach(async () => {
  page = await browser.newPage();
  seen = observe(page);
});

afterEach(() => page.context().close());

interface Traffic {
  /** What each WebSocket was told. */
  readonly sockets: ServerMessage[][];
  readonly polls: string[];
}

/** What the browser itself sees on the wire. */
function observe(page: Page): Traffic {
  const traffic: Traffic = { sockets: [], polls: [] };
  page.on('websocket', (socket) => {
    const told: ServerMessage[] = [];
    traffic.sockets.push(told);
    socket.on('framereceived', ({ payload }) => told.push(JSON.parse(String(payload))));
  });
  page.on('request', (request) => {
    if (request.url().includes('/events')) traffic.polls.push(request.url());
  });
  return traffic;
}

const cursorsIn = (told: readonly ServerMessage[] | undefined, topic: string) =>
  (told ?? []).flatMap((message) =>
    message.type === 'events' && message.topic === topic ? message.items.map(({ cursor }) => cursor) : [],
  );

async function readEvents(jobId: string): Promise<browserClient.JobEvent[]> {
  const headers = { authorization: `Bearer ${server.apiKey}` };
  const response = await fetch(`${server.url}/jobs/${jobId}/events?limit=500`, { headers });
  return ((await response.json()) as { items: browserClient.JobEvent[] }).items;
}

it('M2 a browser is told all of a job by WebSocket, once and in order, though its connection is cut', async () => {
  const proxy = await startFaultProxy(server.url);
  onTestFinished(() => proxy.close());
  await page.goto(host.url);
  const client = new Millrace(server);
  const job = await client.jobs.create('drill', { items: 12, work_ms: 200 });
  let pollsBefore: number | undefined;
  await page.exposeFunction('tell', (event: browserClient.JobEvent) => {
    if (pollsBefore !== undefined || event.type !== 'job.progress' || event.data.progress.completed_tasks < 3) return;
    pollsBefore = seen.polls.length;
    proxy.cutWebSockets();
  });
  const { events, updates } = await page.evaluate(
    async ({ url, apiKey, jobId }) => {
      const { tell } = window as unknown as { tell: (event: browserClient.JobEvent) => Promise<void> };
      const client = new millrace.Millrace({ url, apiKey });
      const watchJob = async () => {
        const events: browserClient.JobEvent[] = [];
        for await (const event of client.jobs.watch(jobId)) {
          events.push(event);
          await tell(event);
        }
        return events;
      };
      const watchTenant = async () => {
        const updates: browserClient.LiveUpdate[] = [];
        for await (const update of client.live.watch()) {
          updates.push(update);
          const changes = update.type === 'snapshot' ? update.items : [update.data];
          const isEnd = (change: object) => 'state' in change && change.state === 'completed';
          if (changes.some((change) => 'job_id' in change && change.job_id === jobId && isEnd(change))) break;
        }
        return updates;
      };
      const [events, updates] = await Promise.all([watchJob(), watchTenant()]);
      return { events, updates };
    },
    { url: proxy.url, apiKey: server.apiKey, jobId: job.id },
  );

  expect(events).toEqual(await readEvents(job.id));
  const states = events.flatMap((event) => ('state' in event.data ? [event.data.state] : []));
  expect(states).toEqual(['queued', 'running', 'completed']);
  expect(updates[0]).toMatchObject({ type: 'snapshot', truncated: false });

  // Both watchers share one connection, and had another after the cut; until it nobody polled.
  expect(seen.sockets).toHaveLength(2);
  expect(pollsBefore).toBe(0);
  const [before, after] = seen.sockets.map((told) => cursorsIn(told, job.id));
  expect(before?.length).toBeGreaterThan(2);
  expect(after).toContain(events.at(-1)?.cursor);
  expect(seen.sockets[0]).toContainEqual(expect.objectContaining({ type: 'snapshot', topic: 'tenant' }));
});

it.each([
  ['another site', () => host.url.replace('127.0.0.1', 'localhost')],
  ['no origin of its own', () => `${host.url}sandboxed`],
])('a page of %s watches with a credential, and gets nothing without', async (_, url) => {
  await page.goto(url());
  const outcome = await page.evaluate(
    async ({ url, apiKey, protocol, bearer }) => {
      const client = new millrace.Millrace({ url, apiKey });
      const job = await client.jobs.create('drill', { items: 1 });
      const states: string[] = [];
      for await (const event of client.jobs.watch(job.id)) {
        if ('state' in event.data) states.push(event.data.state);
      }
      const { websocket_url: socketUrl } = await (
        await fetch(`${url}/live`, { headers: { authorization: `Bearer ${apiKey}` } })
      ).json();
      const opens = (protocols: string[]) =>
        new Promise<boolean>((resolve) => {
          const socket = new WebSocket(socketUrl, protocols);
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        });
      const refused = await fetch(`${url}/jobs`);
      return {
        origin: self.origin,
        states,
        opened: [
          await opens([protocol]),
          await opens([protocol, `${bearer}wrong`]),
          await opens([protocol, bearer + apiKey]),
        ],
        refused: [refused.status, (await refused.json()).error, refused.headers.get('x-request-id') !== null],
        withCookies: await fetch(`${url}/jobs`, { credentials: 'include' }).then(
          () => 'answered',
          () => 'stopped by the browser',
        ),
      };
    },
    { url: server.url, apiKey: server.apiKey, protocol: LIVE_PROTOCOL, bearer: CREDENTIAL_PROTOCOL },
  );
  expect(outcome).toEqual({
    origin: url().endsWith('sandboxed') ? 'null' : new URL(url()).origin,
    states: ['queued', 'running', 'completed'],
    opened: [false, false, true],
    refused: [401, 'UnauthenticatedError', true],
    withCookies: 'stopped by the browser',
  });
  expect(seen.polls).toEqual([]);
});

it('polls where the page may not open WebSockets', async () => {
  await page.goto(`${host.url}no-sockets`);
  const { jobId, events } = await page.evaluate(
    async ({ url, apiKey }) => {
      const client = new millrace.Millrace({ url, apiKey });
      const { id: jobId } = await client.jobs.create('drill', { items: 3 });
      const events: browserClient.JobEvent[] = [];
      for await (const event of client.jobs.watch(jobId)) events.push(event);
      return { jobId, events };
    },
    { url: server.url, apiKey: server.apiKey },
  );
  expect(events).toEqual(await readEvents(jobId));
  expect(seen.sockets.flat()).toEqual([]);
  expect(seen.polls.length).toBeGreaterThan(0);
});
