import * as z from 'zod/mini';

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

export const Fault = z.object({
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
export const SellerData = z.object({
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
