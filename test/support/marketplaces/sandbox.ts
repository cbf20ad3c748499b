import { setTimeout } from 'node:timers/promises';
import * as z from 'zod/mini';
import type { Table, Value } from '../../../platform/ports/table.ts';
import { ebayOperations } from './ebay.ts';
import { etsyOperations } from './etsy.ts';
import {
  Fault,
  newToken,
  Refusal,
  type SandboxAnswer,
  type SandboxOperation,
  type SandboxRequest,
  SellerData,
} from './operation.ts';
import { vintedOperations } from './vinted.ts';

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
