import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { createSend, type HttpOptions } from '../../lambdas/publishing/marketplaces/http.ts';
import { createSession } from '../../lambdas/publishing/marketplaces/session.ts';
import { TestClock } from '../support/test-clock.ts';

type Answer = (response: ServerResponse, authorization: string | undefined) => void;

let url: string;
let answers: Answer[];
let asked: (string | undefined)[];
let close: () => Promise<unknown>;
beforeEach(async () => {
  answers = [];
  asked = [];
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    asked.push(authorization);
    const answer = answers.shift();
    if (answer) answer(response, authorization);
    else response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/listing`;
  close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
});
afterEach(() => close());

const status =
  (code: number, body: unknown = {}, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end(JSON.stringify(body));

function open(more: Partial<HttpOptions> = {}) {
  let heartbeats = 0;
  const send = createSend({
    marketplace: 'eBay',
    timeoutSeconds: 10,
    signal: new AbortController().signal,
    remaining: () => 300_000,
    heartbeat: async () => {
      heartbeats += 1;
    },
    redact: (text) => text.replaceAll('hidden', '…'),
    ...more,
  });
  return { get: () => send({ method: 'GET', url }), heartbeats: () => heartbeats };
}

function catchError(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it threw nothing');
}

describe('a request to a marketplace', () => {
  test.each([
    [400, 'ListingRefusedError'],
    [404, 'ListingRefusedError'],
    [401, 'CredentialsRefusedError'],
    [403, 'CredentialsRefusedError'],
    [409, 'MarketplaceUnavailableError'],
    [500, 'MarketplaceUnavailableError'],
    [503, 'MarketplaceUnavailableError'],
  ])('that is answered %i fails with %s', async (code, expected) => {
    answers.push(status(code, { errors: [{ message: 'short', longMessage: 'the reason' }] }));
    await expect(open().get()).rejects.toMatchObject({
      code: expected,
      message: `eBay answered GET /listing with ${code}: the reason`,
    });
  });

  test('tells no secret that the marketplace tells back', async () => {
    answers.push(status(400, { error: 'invalid_token', error_description: 'hidden is no token' }));
    await expect(open().get()).rejects.toThrow('invalid_token: … is no token');
  });

  test.each([`${'x'.repeat(499)}😀`, '\ud800'])(
    'tells at most 500 characters, and those well-formed',
    async (error_description) => {
      answers.push(status(400, { error_description }));
      const told = error_description.slice(0, 500).toWellFormed();
      await expect(open().get()).rejects.toThrow(`eBay answered GET /listing with 400: ${told}`);
    },
  );

  test('waits for the seconds of Retry-After, and sends heartbeats meanwhile', async () => {
    answers.push(status(429, {}, { 'retry-after': '1' }));
    const { get, heartbeats } = open();
    const started = Date.now();
    expect((await get()).status).toBe(200);
    // Timers may be a millisecond early.
    expect(Date.now() - started).toBeGreaterThan(990);
    expect(heartbeats()).toBeGreaterThan(0);
  });

  test('takes Retry-After as a date, too', async () => {
    answers.push(status(429, {}, { 'retry-after': new Date(Date.now() - 1_000).toUTCString() }));
    expect((await open().get()).status).toBe(200);
    answers.push(status(429, {}, { 'retry-after': new Date(Date.now() + 7_200_000).toUTCString() }));
    await expect(open().get()).rejects.toMatchObject({ code: 'MarketplaceBusyError' });
  });

  test('is left until later when there is no time to wait', async () => {
    answers.push(status(429, {}, { 'retry-after': '30' }));
    await expect(open({ remaining: () => 20_000 }).get()).rejects.toMatchObject({
      code: 'MarketplaceBusyError',
      details: { retry_after_seconds: 30 },
    });
  });

  test('that gets no answer may have been carried out', async () => {
    answers.push(
      (response) => void response.destroy(),
      () => {},
    );
    await expect(open().get()).rejects.toMatchObject({ code: 'MarketplaceUnavailableError' });
    await expect(open({ timeoutSeconds: 1 }).get()).rejects.toThrow('eBay did not answer within 1 s');
  });

  test.each([
    ['null', 'the body: expected object, received null'],
    ['<html>', 'the body: expected object, received undefined'],
    ['{"offers":[{}]}', 'offers[0].id: expected string, received undefined'],
  ])('that is answered otherwise than the API says may have been carried out: %s', async (body, problem) => {
    answers.push((response) => void response.end(body));
    const { read } = await open().get();
    const error = catchError(() => read(z.object({ offers: z.array(z.object({ id: z.string() })) })));
    expect(error).toMatchObject({ code: 'MarketplaceUnavailableError', message: expect.stringContaining(problem) });
    expect(error.message).toContain('eBay answered GET /listing with 200');
  });

  test('follows no redirect, which could take a token elsewhere', async () => {
    answers.push(status(302, {}, { location: 'http://127.0.0.1:9/elsewhere' }));
    await expect(open().get()).rejects.toMatchObject({ code: 'MarketplaceUnavailableError' });
  });

  test('ends with the reason of its signal', async () => {
    const controller = new AbortController();
    answers.push(() => controller.abort(new Error('cancelled')));
    await expect(open({ signal: controller.signal }).get()).rejects.toThrow('cancelled');
  });
});

describe("an account's session", () => {
  function openSession(secret: object, { keep = async () => {}, heartbeat = () => {} } = {}) {
    const clock = new TestClock();
    const kept = { text: JSON.stringify(secret) };
    const send = createSend({
      marketplace: 'Etsy',
      timeoutSeconds: 10,
      signal: new AbortController().signal,
      remaining: () => 300_000,
      heartbeat: async () => {},
      redact: (text) => text,
    });
    const session = createSession({
      secrets: {
        get: async () => kept.text,
        put: async (_name, text) => {
          await keep();
          kept.text = text;
        },
        delete: async () => {},
      },
      secretName: 'account',
      clock,
      send,
      heartbeat: async () => heartbeat(),
      refreshRequest: ({ refresh_token }) => ({ method: 'POST', url, form: new URLSearchParams({ refresh_token }) }),
      headers: (_credentials, token) => ({ authorization: `Bearer ${token}` }),
    });
    return { session, clock, stored: () => JSON.parse(kept.text), kept };
  }
  const credentials = { client_id: 'app', client_secret: 's', refresh_token: 'r0' };
  const tokens = (access_token: string, refresh_token?: string) =>
    status(200, { access_token, expires_in: 3_600, ...(refresh_token && { refresh_token }) });

  test('gets a token when it has none, keeps it, and gets the next before it ends', async () => {
    const { session, clock, stored } = openSession(credentials);
    answers.push(tokens('a1', 'r1'));
    await session.send({ method: 'GET', url });
    await session.send({ method: 'GET', url });
    expect(asked).toEqual([undefined, 'Bearer a1', 'Bearer a1']);
    expect(stored()).toMatchObject({ access_token: 'a1', refresh_token: 'r1' });
    clock.advance(3_600_000 - 30_000);
    answers.push(tokens('a2'));
    await session.send({ method: 'GET', url });
    expect(asked.at(-1)).toBe('Bearer a2');
    expect(stored()).toMatchObject({ access_token: 'a2', refresh_token: 'r1' });
    expect(session.redact('of a2, r1 and s')).toBe('of …, … and …');
  });

  test('takes the token that another task has got meanwhile, when its own request for one is refused', async () => {
    const { session, clock, kept } = openSession(credentials);
    answers.push((response) => {
      const ends = new Date(clock.now().getTime() + 3_600_000).toISOString();
      const other = { ...credentials, refresh_token: 'r1', access_token: 'theirs', access_token_ends_at: ends };
      kept.text = JSON.stringify(other);
      response.writeHead(400).end('{"error":"invalid_grant"}');
    });
    await session.send({ method: 'GET', url });
    expect(asked.at(-1)).toBe('Bearer theirs');
  });

  test('waits for the token that another task has got and not kept yet, and sends heartbeats meanwhile', async () => {
    // It is kept when the other has looked for it and waits.
    const beaten = Promise.withResolvers<void>();
    const { session, stored } = openSession(credentials, { keep: () => beaten.promise, heartbeat: beaten.resolve });
    // Both ask with the same refresh token, which counts once.
    answers.push(tokens('a1', 'r1'), status(400, { error: 'invalid_grant' }));
    await Promise.all([session.send({ method: 'GET', url }), session.send({ method: 'GET', url })]);
    expect(asked).toEqual([undefined, undefined, 'Bearer a1', 'Bearer a1']);
    expect(stored()).toMatchObject({ access_token: 'a1', refresh_token: 'r1' });
  });

  test('leaves alone what the seller has renewed while it asked for a token', async () => {
    const { session, stored, kept } = openSession(credentials);
    answers.push(
      (response) => {
        kept.text = JSON.stringify({ ...credentials, refresh_token: 'renewed' });
        tokens('a1', 'r1')(response, undefined);
      },
      tokens('a2', 'r2'),
    );
    await session.send({ method: 'GET', url });
    expect(stored()).toMatchObject({ access_token: 'a2', refresh_token: 'r2' });
    expect(asked.at(-1)).toBe('Bearer a2');
  });

  test('renews a refused token once, and then gives up', async () => {
    const { session } = openSession(credentials);
    answers.push(tokens('a1'), status(401), tokens('a2'), status(401));
    await expect(session.send({ method: 'GET', url })).rejects.toMatchObject({ code: 'CredentialsRefusedError' });
    expect(asked).toEqual([undefined, 'Bearer a1', undefined, 'Bearer a2']);
  });
});
