import * as z from 'zod/mini';
import { FileId, idOf, Timestamp, ULID } from './common.ts';
import { MAX_BRIDGE_MESSAGE_LENGTH, MAX_PRODUCT_IMAGES } from './limits.ts';

export const ProductId = idOf<'ProductId'>('prod');
export const MarketplaceAccountId = idOf<'MarketplaceAccountId'>('macc');
export type ProductId = z.infer<typeof ProductId>;
export type MarketplaceAccountId = z.infer<typeof MarketplaceAccountId>;

/** `cmd_`, the ULID of its job, and the task that it is for: the same at every attempt, so that a bridge does it once. */
export const CommandId = z
  .string()
  .check(z.regex(new RegExp(`^cmd_${ULID}_[a-z_]{1,32}(-[0-9]{1,3})?$`)))
  .brand<'CommandId'>();
export type CommandId = z.infer<typeof CommandId>;

export const Marketplace = z.enum(['ebay', 'etsy', 'vinted']);
export type Marketplace = z.infer<typeof Marketplace>;

const text = (most: number) => z.string().check(z.minLength(1), z.maxLength(most));
/** Ids of marketplaces are digits; they are texts, as some have more than a double holds. */
const digits = z.string().check(z.regex(/^[0-9]{1,20}$/));

/** `amount` counts the currency's minor unit: `{amount: 1999, currency: 'EUR'}` is 19.99 €. `currency`: ISO 4217. */
export const Price = z.strictObject({
  amount: z.int().check(z.minimum(1), z.maximum(1_000_000_000)),
  currency: z.string().check(z.regex(/^[A-Z]{3}$/)),
});
export type Price = z.infer<typeof Price>;

const CONDITIONS = ['new', 'like_new', 'very_good', 'good', 'acceptable'] as const;
export const Condition = z.enum(CONDITIONS);
export type Condition = z.infer<typeof Condition>;

/** A marketplace may take less of a title, a description or images than stands here: the job's first step tells. */
export const CreateProduct = z.strictObject({
  title: text(140),
  description: text(4_000),
  price: Price,
  quantity: z.int().check(z.minimum(1), z.maximum(999)),
  condition: Condition,
  /** Files of uploads, in the order in which they are shown. */
  image_file_ids: z.array(FileId).check(z.minLength(1), z.maxLength(MAX_PRODUCT_IMAGES)),
  /** Where it belongs, by the marketplace's own number; else where its account says. */
  category_ids: z._default(z.partial(z.strictObject({ ebay: digits, etsy: digits, vinted: digits })), {}),
});
export type CreateProduct = z.infer<typeof CreateProduct>;

export const Product = z.object({
  ...CreateProduct.shape,
  id: ProductId,
  created_at: Timestamp,
});
export type Product = z.infer<typeof Product>;

/** What every eBay offer needs beside its product: https://developer.ebay.com/api-docs/sell/inventory/types/slr:EbayOfferDetailsWithKeys */
const EbaySettings = z.strictObject({
  marketplace_id: z._default(z.string().check(z.regex(/^EBAY_[A-Z_]{2,20}$/)), 'EBAY_US'),
  /** Of titles and descriptions. */
  content_language: z._default(z.string().check(z.regex(/^[a-z]{2}-[A-Z]{2}$/)), 'en-US'),
  category_id: z.optional(digits),
  merchant_location_key: text(36),
  fulfillment_policy_id: digits,
  payment_policy_id: digits,
  return_policy_id: digits,
});

/** What every Etsy listing needs beside its product: https://developers.etsy.com/documentation/tutorials/listings */
const EtsySettings = z.strictObject({
  shop_id: digits,
  /** A node of the seller taxonomy. */
  category_id: z.optional(digits),
  shipping_profile_id: digits,
  return_policy_id: digits,
  /** A processing profile of the shop. */
  readiness_state_id: digits,
  who_made: z._default(z.enum(['i_did', 'someone_else', 'collective']), 'someone_else'),
  when_made: z._default(z.string().check(z.regex(/^[a-z0-9_]{1,20}$/)), '2020_2026'),
});

const VintedSettings = z.strictObject({ category_id: z.optional(digits) });

/** An app's keys and the seller's consent. They are kept apart from all other data and never told. */
const OAuthCredentials = z.strictObject({
  client_id: text(512),
  client_secret: text(512),
  refresh_token: text(8_192),
});
export type OAuthCredentials = z.infer<typeof OAuthCredentials>;

const name = text(128);

export const CreateMarketplaceAccount = z.discriminatedUnion('marketplace', [
  z.strictObject({
    marketplace: z.literal('ebay'),
    name,
    settings: EbaySettings,
    credentials: OAuthCredentials,
  }),
  z.strictObject({
    marketplace: z.literal('etsy'),
    name,
    settings: EtsySettings,
    /** `client_id` is the keystring, `client_secret` the shared secret. */
    credentials: OAuthCredentials,
  }),
  /** Its credentials are the bridge's: they never come here. */
  z.strictObject({ marketplace: z.literal('vinted'), name, settings: z._default(VintedSettings, {}) }),
]);
export type CreateMarketplaceAccount = z.infer<typeof CreateMarketplaceAccount>;

const account = { id: MarketplaceAccountId, name: z.string(), created_at: Timestamp };

export const MarketplaceAccount = z.discriminatedUnion('marketplace', [
  z.object({ ...account, marketplace: z.literal('ebay'), settings: EbaySettings }),
  z.object({ ...account, marketplace: z.literal('etsy'), settings: EtsySettings }),
  z.object({ ...account, marketplace: z.literal('vinted'), settings: VintedSettings }),
]);
export type MarketplaceAccount = z.infer<typeof MarketplaceAccount>;

export const RenewMarketplaceCredentials = z.strictObject({ credentials: OAuthCredentials });

/** Of the command's task; what a bridge gets of a product. */
const ProductForBridge = z.object({
  id: ProductId,
  title: z.string(),
  description: z.string(),
  price: Price,
  quantity: z.int(),
  condition: Condition,
  category_id: z.optional(z.string()),
});

const command = {
  id: CommandId,
  account_id: MarketplaceAccountId,
  product_id: ProductId,
  /** Of this delivery; the next call goes on after it. A command that is sent again has a new one. */
  cursor: z.string(),
  /** To be sent with its heartbeats: another bridge that gets the command has another one. */
  claim: z.string(),
  created_at: Timestamp,
};

/**
 * Something that the seller's bridge does on Vinted, in this order. Before it does it, it looks whether it has done it:
 * by the command's id, and by the product's.
 */
export const BridgeCommand = z.discriminatedUnion('type', [
  z.object({
    ...command,
    type: z.literal('upload_image'),
    image: z.object({
      /** From 0. */
      index: z.int(),
      name: z.string(),
      content_type: z.string(),
      size_bytes: z.int(),
      checksum_crc64nvme: z.string(),
      /** A GET of the bytes; it ends after 15 minutes, and the command's next delivery has a new one. */
      url: z.string(),
    }),
  }),
  z.object({
    ...command,
    type: z.literal('create_listing'),
    product: ProductForBridge,
    photo_ids: z.array(z.string()),
  }),
  z.object({ ...command, type: z.literal('publish'), draft_id: z.string() }),
  z.object({ ...command, type: z.literal('verify'), listing_id: z.string() }),
]);
export type BridgeCommand = z.infer<typeof BridgeCommand>;

const id = text(128);

/** What a command's result holds, by its type. */
export const BRIDGE_RESULTS = {
  upload_image: z.object({ photo_id: id }),
  create_listing: z.object({ draft_id: id }),
  publish: z.object({ listing_id: id, url: z.optional(z.url({ protocol: /^https?$/ })) }),
  verify: z.object({ listed: z.boolean(), url: z.optional(z.url({ protocol: /^https?$/ })) }),
} as const;
export type BridgeCommandType = keyof typeof BRIDGE_RESULTS;

/** How a command ended. One that failed is sent again by the job's next attempt: `retryable` says whether to try by itself. */
export const BridgeAnswer = z.object({
  result: z.optional(z.record(z.string(), z.unknown())),
  error: z.optional(z.object({ message: text(MAX_BRIDGE_MESSAGE_LENGTH), retryable: z._default(z.boolean(), false) })),
});
export type BridgeAnswer = z.infer<typeof BridgeAnswer>;

/** Where the marketplaces are, and how long one of their answers may take: 1–60 s. */
export const MarketplaceSettings = z.strictObject({
  ebay_url: z._default(z.url({ protocol: /^https?$/ }), 'https://api.ebay.com'),
  /** eBay takes images at a host of their own. */
  ebay_media_url: z._default(z.url({ protocol: /^https?$/ }), 'https://apim.ebay.com'),
  etsy_url: z._default(z.url({ protocol: /^https?$/ }), 'https://api.etsy.com'),
  timeout_seconds: z._default(z.number().check(z.minimum(1), z.maximum(60)), 20),
});
export type MarketplaceSettings = z.infer<typeof MarketplaceSettings>;
