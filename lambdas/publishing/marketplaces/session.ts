import { setTimeout } from 'node:timers/promises';
import * as z from 'zod/mini';
import { DomainError } from '../../../contract/errors.ts';
import type { Clock } from '../../../platform/ports/clock.ts';
import type { Secrets } from '../../../platform/ports/secrets.ts';
import type { HttpAnswer, HttpRequest, Send } from './http.ts';

/** A token is renewed when it ends within this time. */
const MARGIN_MS = 60_000;
/** What another task was given is kept some moments later: 20 looks, 250 ms apart, wait 5 s for it. */
const LOOKS = 20;
const LOOK_MS = 250;

/** As it is kept: what the seller gave, and what the marketplace answered last. */
const Credentials = z.object({
  client_id: z.string(),
  client_secret: z.string(),
  refresh_token: z.string(),
  access_token: z.optional(z.string()),
  access_token_ends_at: z.optional(z.string()),
});
export type Credentials = z.infer<typeof Credentials>;

const TokenAnswer = z.object({
  access_token: z.string(),
  expires_in: z.number(),
  /** Etsy gives a new one each time. */
  refresh_token: z.optional(z.string()),
});

export interface SessionOptions {
  readonly secrets: Secrets;
  readonly secretName: string;
  readonly clock: Clock;
  readonly send: Send;
  /** Awaited at least every 500 ms of a wait. */
  heartbeat(): Promise<void>;
  /** The request for a new access token. */
  refreshRequest(credentials: Credentials): HttpRequest;
  /** Headers of a request with an access token. */
  headers(credentials: Credentials, accessToken: string): Readonly<Record<string, string>>;
}

interface Authorization {
  readonly credentials: Credentials;
  readonly token: string;
}

export interface Session {
  /** Sends a request with a valid token. One that is refused is renewed, once; `CredentialsRefusedError` after that. */
  readonly send: Send;
  /** A text without the secrets that this session has read. */
  redact(text: string): string;
}

/** An account's OAuth tokens, which its tasks share. */
export function createSession(options: SessionOptions): Session {
  const { send } = options;
  const seen = new Set<string>();

  async function read(): Promise<Credentials> {
    const text = await options.secrets.get(options.secretName);
    if (text === undefined)
      throw new DomainError(
        'CredentialsRefusedError',
        'the account has no credentials: set them with PUT /marketplace-accounts/{account_id}/credentials',
      );
    const credentials = Credentials.parse(JSON.parse(text));
    note(credentials);
    return credentials;
  }

  function note({ client_secret, refresh_token, access_token }: Credentials): void {
    for (const secret of [client_secret, refresh_token, access_token]) if (secret) seen.add(secret);
  }

  function validToken({ access_token, access_token_ends_at = '' }: Credentials, refused?: string): string | undefined {
    const lives = Date.parse(access_token_ends_at) - options.clock.now().getTime() > MARGIN_MS;
    return lives && access_token !== refused ? access_token : undefined;
  }

  async function renew(credentials: Credentials, refused: string | undefined): Promise<Authorization> {
    const answer = await send({ ...options.refreshRequest(credentials), also: [400, 401] });
    let now = await read();
    const isNews = () => now.refresh_token !== credentials.refresh_token || validToken(now, refused);
    for (let look = 0; answer.status !== 200 && !isNews() && look < LOOKS; look += 1) {
      await setTimeout(LOOK_MS);
      await options.heartbeat();
      now = await read();
    }
    const token = validToken(now, refused);
    const changed = now.refresh_token !== credentials.refresh_token;
    // Another task renewed them, or the seller did, while this one asked: theirs hold.
    if (changed || answer.status !== 200) {
      if (token) return { credentials: now, token };
      if (changed) return renew(now, refused);
      throw new DomainError(
        'CredentialsRefusedError',
        'the marketplace issued no new access token: have the seller consent again, and replace the account’s credentials',
      );
    }
    const { access_token, expires_in, refresh_token } = answer.read(TokenAnswer);
    const renewed: Credentials = {
      ...now,
      access_token,
      access_token_ends_at: new Date(options.clock.now().getTime() + expires_in * 1_000).toISOString(),
      ...(refresh_token && { refresh_token }),
    };
    await options.secrets.put(options.secretName, JSON.stringify(renewed));
    note(renewed);
    return { credentials: renewed, token: access_token };
  }

  /** `refused`: an access token that is not to be used again. */
  async function authorize(refused?: string): Promise<Authorization> {
    const credentials = await read();
    const token = validToken(credentials, refused);
    return token ? { credentials, token } : renew(credentials, refused);
  }

  return {
    async send(request) {
      const attempt = async (refused?: string): Promise<{ token: string; answer: HttpAnswer }> => {
        const { credentials, token } = await authorize(refused);
        const headers = { ...request.headers, ...options.headers(credentials, token) };
        const also = refused === undefined ? [...(request.also ?? []), 401] : (request.also ?? []);
        return { token, answer: await send({ ...request, headers, also }) };
      };
      const first = await attempt();
      return first.answer.status === 401 ? (await attempt(first.token)).answer : first.answer;
    },
    redact: (text) => [...seen].reduce((rest, secret) => rest.replaceAll(secret, '…'), text),
  };
}
