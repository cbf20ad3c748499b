import { setTimeout } from 'node:timers/promises';
import * as z from 'zod/mini';
import type { Table, Value } from '../../../platform/ports/table.ts';
import { ebayOperations } from './ebay.ts';
import { etsyOperations } from './etsy.ts';
import { vintedOperations } from './vinted.ts';

export interface SandboxRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface SandboxAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** An operation of a marketplace, on the data of one seller: it changes the data, or throws a `Refusal`. */
export interface SandboxOperation {
  readonly name: string;
  readonly method: string;
  /** With a group for each parameter. */
  readonly path: RegExp;
  /** Who asks; throws a `Refusal` when that can't be told. */
  seller(request: SandboxRequest): string;
  run(data: SellerData, request: SandboxRequest, params: readonly string[]): SandboxAnswer | Promise<SandboxAnswer>;
}

/** What a marketplace answers to a request that it doesn't take. */
export class Refusal extends Error {
  readonly answer: SandboxAnswer;

  constructor(answer: SandboxAnswer) {
    super(`refused with ${answer.status}`);
    this.answer = answer;
  }
}

const Fault = z.object({
  /** Such as `ebay.publishOffer`. */
  operation: z.string(),
  /** Which call of it, from 1, and how many from there on. */
  at: z._default(z.int(), 1),
  times: z._default(z.int(), 1),
  /** `drop` ends the connection, `hang` doesn't answer for longer than anybody waits. */
  fate: z.enum(['status', 'drop', 'hang']),
  status: z._default(z.int(), 500),
  retry_after: z.optional(z.string()),
  /** Whether the operation happens all the same. */
  after: z._default(z.boolean(), false),
});
export type Fault = z.input<typeof Fault>;

/** All that a seller has, on whichever marketplace. */
const SellerData = z.object({
  seller: z.string(),
  client_secret: z.string(),
  access_tokens: z.array(z.string()),
  refresh_tokens: z.array(z.string()),
  /** Counts whatever is made. */
  made: z.int(),
  images: z.array(z.object({ id: z.string(), bytes: z.int(), name: z.string() })),
  items: z.record(z.string(), z.record(z.string(), z.unknown())),
  listings: z.array(
    z.object({
      id: z.string(),
      /** The product's, as the marketplace knows it: SKU, tag, reference. */
      reference: z.string(),
      state: z.string(),
      /** Given when it is published. */
      listing_id: z.optional(z.string()),
      fields: z.record(z.string(), z.unknown()),
      images: z.array(z.object({ id: z.string(), rank: z.int() })),
    }),
  ),
  calls: z.array(z.object({ operation: z.string(), status: z.union([z.int(), z.enum(['drop', 'hang'])]) })),
  faults: z.array(Fault),
  /** Operations that were carried out, whatever was answered. */
  effects: z.array(z.string()),
});
export type SellerData = z.infer<typeof SellerData>;

const SELLER = 'seller-[0-9a-f-]{36}';
/** Longer than anybody waits in the tests. */
const HANG_MS = 15_000;

/** What the HTTP server, or the Lambda, is to do. */
export type SandboxOutcome = SandboxAnswer | 'drop';

/**
 * Plays the marketplaces for tests: strictly by their published request shapes, scripted with faults. Sellers are apart,
 * and made by the tests. All it knows is in a table, so that it may run in several processes.
 */
export class MarketplaceSandbox {
  readonly #table: Table;
  readonly #closed = new AbortController();
  readonly #operations = [...ebayOperations, ...etsyOperations, ...vintedOperations];

  constructor(table: Table) {
    this.#table = table;
  }

  /** Nothing hangs any more. */
  close(): void {
    this.#closed.abort();
  }

  async handle(request: SandboxRequest): Promise<SandboxOutcome> {
    try {
      return request.path.startsWith('/_sandbox/') ? await this.#control(request) : await this.#operate(request);
    } catch (error) {
      if (error instanceof Refusal) return error.answer;
      throw error;
    }
  }

  async #operate(request: SandboxRequest): Promise<SandboxOutcome> {
    for (const operation of this.#operations) {
      const match = request.method === operation.method ? operation.path.exec(request.path) : null;
      if (!match) continue;
      const [, ...params] = match;
      const outcome = await this.#change(operation.seller(request), (data) =>
        runWithFaults(operation, data, request, params),
      );
      if (outcome !== 'hang') return outcome;
      await setTimeout(HANG_MS, undefined, { signal: this.#closed.signal }).catch(() => undefined);
      return 'drop';
    }
    return { status: 404, body: { error: `the sandbox plays no ${request.method} ${request.path}` } };
  }

  /** What tests say and ask. */
  async #control({ method, path, body }: SandboxRequest): Promise<SandboxAnswer> {
    const json = (): unknown => JSON.parse(new TextDecoder().decode(body));
    const [, seller = '', what] = /^\/_sandbox\/sellers(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? [];
    if (method === 'POST' && !seller) {
      const data = body.length > 0 ? SellerData.parse(json()) : newSeller(`seller-${crypto.randomUUID()}`);
      await this.#table.write({ op: 'put', item: { ...keyOf(data.seller), version: 0, json: JSON.stringify(data) } });
      return { status: 201, body: data };
    }
    return this.#change(seller, (data) => {
      if (what === 'faults') data.faults = z.array(Fault).parse(json());
      if (what === 'expire-tokens') data.access_tokens = [];
      if (what === 'consent') data.refresh_tokens = [newToken(data, 'rt')];
      if (what === 'revoke-tokens') Object.assign(data, { access_tokens: [], refresh_tokens: [] });
      return { status: 200, body: structuredClone(data) };
    });
  }

  /** Reads, changes and writes a seller's data; again when another was faster. */
  async #change<Result>(seller: string, change: (data: SellerData) => Result | Promise<Result>): Promise<Result> {
    for (;;) {
      const item = await this.#table.get(keyOf(seller));
      if (!item) throw new Refusal({ status: 404, body: { error: `there is no ${seller}` } });
      const data = SellerData.parse(JSON.parse(String(item.json)));
      const result = await change(data);
      const written = await this.#table.write({
        op: 'update',
        key: keyOf(seller),
        if: { version: Number(item.version) },
        set: { json: JSON.stringify(data) as Value },
        add: { version: 1 },
      });
      if (written.ok) return result;
    }
  }
}

const keyOf = (seller: string) => ({ pk: `SELLER#${seller}`, sk: 'DATA' });

function newSeller(seller: string): SellerData {
  return {
    seller,
    client_secret: crypto.randomUUID(),
    access_tokens: [],
    refresh_tokens: [`rt.${seller}.0`],
    made: 0,
    images: [],
    items: {},
    listings: [],
    calls: [],
    faults: [],
    effects: [],
  };
}

async function runWithFaults(
  operation: SandboxOperation,
  data: SellerData,
  request: SandboxRequest,
  params: readonly string[],
): Promise<SandboxOutcome | 'hang'> {
  const before = data.calls.filter((call) => call.operation === operation.name).length;
  const fault = data.faults.find(
    ({ operation: name, at = 1, times = 1 }) => name === operation.name && before + 1 >= at && before + 1 < at + times,
  );
  const note = (status: SellerData['calls'][number]['status']) =>
    data.calls.push({ operation: operation.name, status });
  const answer = fault && !fault.after ? undefined : await operate(operation, data, request, params);
  if (!fault) {
    note(answer?.status ?? 0);
    return answer as SandboxAnswer;
  }
  const { fate, status = 500, retry_after } = fault;
  note(fate === 'status' ? status : fate);
  if (fate !== 'status') return fate;
  return {
    status,
    headers: retry_after === undefined ? {} : { 'retry-after': retry_after },
    body: { errors: [{ errorId: 25_001, message: 'A system error has occurred, as the test says.' }] },
  };
}

async function operate(
  operation: SandboxOperation,
  data: SellerData,
  request: SandboxRequest,
  params: readonly string[],
): Promise<SandboxAnswer> {
  try {
    const answer = await operation.run(data, request, params);
    data.effects.push(operation.name);
    return answer;
  } catch (error) {
    // A refused request is a call, too.
    if (error instanceof Refusal) return error.answer;
    throw error;
  }
}

/** The seller that a token of ours is of. */
export function sellerOfToken(token: string): string | undefined {
  return new RegExp(`^[a-z]{2}\\.(${SELLER})\\.\\d+$`).exec(token)?.[1];
}

export function newToken(data: SellerData, kind: 'at' | 'rt'): string {
  data.made += 1;
  return `${kind}.${data.seller}.${data.made}`;
}

/** A new number that looks like a marketplace's. */
export function newNumber(data: SellerData): number {
  data.made += 1;
  return 1_100_000_000 + data.made;
}

export function formOf({ headers, body }: SandboxRequest): URLSearchParams | undefined {
  const type = headers['content-type'] ?? '';
  if (!type.startsWith('application/x-www-form-urlencoded')) return undefined;
  return new URLSearchParams(new TextDecoder().decode(body));
}

export async function multipartOf({ headers, body }: SandboxRequest): Promise<FormData | undefined> {
  const type = headers['content-type'] ?? '';
  if (!type.startsWith('multipart/form-data')) return undefined;
  return new Response(body, { headers: { 'content-type': type } }).formData().catch(() => undefined);
}

export function jsonOf({ headers, body }: SandboxRequest): unknown {
  if (!headers['content-type']?.startsWith('application/json')) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/** Whether bytes begin as an image of the formats that marketplaces take. */
export async function isImage(file: unknown): Promise<boolean> {
  if (!(file instanceof File) || file.size === 0) return false;
  const head = Buffer.from(await file.slice(0, 4).arrayBuffer()).toString('hex');
  return ['ffd8ff', '89504e47', '47494638'].some((magic) => head.startsWith(magic));
}
