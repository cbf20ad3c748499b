import type { CreateMarketplaceAccount, CreateProduct, OAuthCredentials } from '../../../contract/publishing.ts';
import { fileId } from '../jobs-world.ts';

const ebay = {
  marketplace_id: 'EBAY_US',
  content_language: 'en-US',
  category_id: '9355',
  merchant_location_key: 'warehouse',
  fulfillment_policy_id: '5001',
  payment_policy_id: '5002',
  return_policy_id: '5003',
};

const etsy = {
  shop_id: '7001',
  category_id: '1234',
  shipping_profile_id: '81',
  return_policy_id: '82',
  readiness_state_id: '83',
  who_made: 'someone_else',
  when_made: '2020_2026',
} as const;

/** An account that the sandbox takes. */
export function accountOf(
  marketplace: CreateMarketplaceAccount['marketplace'],
  credentials: OAuthCredentials,
): CreateMarketplaceAccount {
  if (marketplace === 'ebay') return { marketplace, name: 'Shop', settings: ebay, credentials };
  if (marketplace === 'etsy') return { marketplace, name: 'Shop', settings: etsy, credentials };
  return { marketplace, name: 'Shop', settings: {} };
}

/** A product that the sandbox takes; its one image is the file of the jobs' world. */
export const productOf = {
  title: 'A brass lamp',
  description: 'Of the thirties, rewired.',
  price: { amount: 4_950, currency: 'USD' },
  quantity: 1,
  condition: 'very_good',
  image_file_ids: [fileId] as [typeof fileId],
  category_ids: {},
} as const satisfies CreateProduct;

/** The smallest PNG. */
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
