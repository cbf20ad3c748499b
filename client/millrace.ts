import { Api } from './api.ts';
import { MillraceError } from './errors.ts';
import { LiveConnection } from './live/live-socket.ts';
import type { Platform, StateStore } from './ports.ts';
import { Batches } from './resources/batches.ts';
import { Files } from './resources/files.ts';
import { Jobs, Workflows } from './resources/jobs.ts';
import { Keys } from './resources/keys.ts';
import { Live } from './resources/live.ts';
import { Bridge, MarketplaceAccounts, Products } from './resources/publishing.ts';
import { Uploads } from './resources/uploads.ts';
import { Webhooks } from './resources/webhooks.ts';
import type { File, Page } from './types.ts';
import { hashRange } from './upload/hash.ts';

export interface MillraceOptions {
  /** The API's base URL, stage included. */
  readonly url: string;
  /** An API key, `mr_…`. Either this or `token`. */
  readonly apiKey?: string;
  /** A JWT, or a function that is asked for one before each request. */
  readonly token?: string | (() => Promise<string>);
  /** Where this device notes unfinished uploads. */
  readonly state?: StateStore;
  /** Ends every call of this client with `AbortedError`, unless the call has a signal of its own. */
  readonly signal?: AbortSignal;
}

/** What comparing a local file with a receipt found. */
export interface Verification {
  readonly matches: boolean;
  readonly local: { readonly sizeBytes: number; readonly checksumCrc64Nvme: string };
  readonly receipt: File['receipt'];
}

/** A client of one Millrace deployment; the entries for Node and the browser wire it. */
export class MillraceClient<Source> {
  readonly uploads: Uploads<Source>;
  readonly files: Files;
  readonly jobs: Jobs;
  readonly batches: Batches;
  readonly workflows: Workflows;
  readonly products: Products;
  readonly marketplaceAccounts: MarketplaceAccounts;
  readonly bridge: Bridge;
  readonly keys: Keys;
  readonly live: Live;
  readonly webhooks: Webhooks;
  readonly #platform: Platform<Source>;
  readonly #signal: AbortSignal | undefined;

  constructor({ url, apiKey, token, signal }: MillraceOptions, platform: Platform<Source>) {
    const credential = apiKey ?? token;
    if (!URL.canParse(url)) throw new MillraceError('ValidationError', `url must be an absolute URL, got ${url}`);
    if (!credential) throw new MillraceError('UnauthenticatedError', 'an apiKey or a token is required');
    const api = new Api({ url, token: credential, signal });
    this.#platform = platform;
    this.#signal = signal;
    const live = new LiveConnection(api);
    this.uploads = new Uploads(api, live, platform);
    this.files = new Files(api);
    this.jobs = new Jobs(api, live);
    this.batches = new Batches(api);
    this.workflows = new Workflows(api);
    this.products = new Products(api);
    this.marketplaceAccounts = new MarketplaceAccounts(api);
    this.bridge = new Bridge(api);
    this.keys = new Keys(api);
    this.live = new Live(api, live);
    this.webhooks = new Webhooks(api);
  }

  /** Compares a local file with the receipt of an uploaded one, by size and CRC64NVME; nothing is downloaded. */
  async verify(
    source: Source,
    fileId: string,
    { signal = this.#signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<Verification> {
    const { receipt } = await this.files.get(fileId);
    const local = await this.#platform.openSource(source);
    try {
      const { sizeBytes } = local;
      const checksumCrc64Nvme = await hashRange(local, 0, sizeBytes, signal);
      const matches = sizeBytes === receipt.size_bytes && checksumCrc64Nvme === receipt.checksum_crc64nvme;
      return { matches, local: { sizeBytes, checksumCrc64Nvme }, receipt };
    } finally {
      await local.close();
    }
  }
}

/**
 * Every item of a listing, page after page.
 *
 * @example
 * for await (const file of paginate((cursor) => millrace.files.list({ cursor }))) console.log(file.name);
 */
export async function* paginate<Item>(
  fetchPage: (cursor: string | undefined) => Promise<Page<Item>>,
): AsyncGenerator<Item, void, void> {
  let cursor: string | undefined;
  do {
    const page = await fetchPage(cursor);
    yield* page.items;
    cursor = page.next_cursor;
  } while (cursor !== undefined);
}
