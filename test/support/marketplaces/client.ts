import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Fault, SellerData } from './operation.ts';

/** Where tests reach the sandbox. */
export interface SandboxAddress {
  readonly url: string;
  /** The Host header by which an engine tells its functions' URLs apart. */
  readonly host?: string;
}

/** The deployment's settings for a sandbox at this URL; one that hangs is given up soon, so that tests can wait for it. */
export function marketplacesAt(url: string, timeoutSeconds: number) {
  return { ebay_url: url, ebay_media_url: url, etsy_url: url, timeout_seconds: timeoutSeconds };
}

/** A seller of the sandbox, as a test directs and asks it. */
export interface Seller {
  readonly id: string;
  readonly credentials: { readonly client_id: string; readonly client_secret: string; readonly refresh_token: string };
  data(): Promise<SellerData>;
  setFaults(...faults: Fault[]): Promise<void>;
  expireTokens(): Promise<void>;
  revokeTokens(): Promise<void>;
  /** As if the seller had consented again: a new refresh token. */
  consent(): Promise<{ readonly refresh_token: string }>;
}

/** A new seller, or one as another sandbox has had it. */
export async function newSeller(sandbox: SandboxAddress, before?: unknown): Promise<Seller> {
  const call = (method: string, path: string, body?: unknown) =>
    send(sandbox, method, `/_sandbox/sellers${path}`, body);
  const { seller: id, client_secret, refresh_tokens } = await call('POST', '', before);
  const [refresh_token = ''] = refresh_tokens;
  return {
    id,
    credentials: { client_id: id, client_secret, refresh_token },
    data: () => call('GET', `/${id}`),
    setFaults: async (...faults) => void (await call('PUT', `/${id}/faults`, faults)),
    expireTokens: async () => void (await call('POST', `/${id}/expire-tokens`)),
    revokeTokens: async () => void (await call('POST', `/${id}/revoke-tokens`)),
    consent: async () => ({ refresh_token: (await call('POST', `/${id}/consent`)).refresh_tokens[0] ?? '' }),
  };
}

/** fetch sets no Host header. */
async function send(sandbox: SandboxAddress, method: string, path: string, body?: unknown): Promise<SellerData> {
  const headers = { ...(sandbox.host && { host: sandbox.host }), 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const sent = request(sandbox.url + path, { method, headers }, (answer) => {
      const read = json(answer) as Promise<SellerData>;
      if ((answer.statusCode ?? 0) < 300) resolve(read);
      else
        read.then(
          (text) => reject(new Error(`the sandbox answered ${answer.statusCode}: ${JSON.stringify(text)}`)),
          reject,
        );
    });
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
