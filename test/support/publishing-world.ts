import type { Millrace } from '../../client/index.ts';
import { newTenant, type Tenant, target } from './e2e-world.ts';
import { newSeller, type SandboxAddress, type Seller } from './marketplaces/client.ts';

type Marketplace = 'ebay' | 'etsy' | 'vinted';

const SETTINGS = {
  ebay: {
    marketplace_id: 'EBAY_US',
    category_id: '9355',
    merchant_location_key: 'warehouse',
    fulfillment_policy_id: '5001',
    payment_policy_id: '5002',
    return_policy_id: '5003',
  },
  etsy: {
    shop_id: '7001',
    category_id: '1234',
    shipping_profile_id: '81',
    return_policy_id: '82',
    readiness_state_id: '83',
  },
} as const;

export interface Shop {
  readonly seller: Seller;
  readonly accountId: string;
  /** A new product with so many images. */
  product(images?: number, more?: object): Promise<string>;
}

/** The smallest PNG, made different by its end. */
function png(index: number): Uint8Array<ArrayBuffer> {
  const base = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  return new Uint8Array(Buffer.concat([Buffer.from(base, 'base64'), Buffer.from(`image ${index}`)]));
}

/** A new tenant with an account of a marketplace that the sandbox plays. */
export async function openShop(
  marketplace: Marketplace,
  sandbox: SandboxAddress | undefined = target.sandbox,
): Promise<Shop & { readonly tenant: Tenant }> {
  if (!sandbox) throw new Error('the deployment under test has no sandbox of marketplaces');
  const tenant = await newTenant('shop');
  return { tenant, ...(await openShopOf(tenant.client, marketplace, sandbox)) };
}

/** The same for a tenant that is there. */
export async function openShopOf(client: Millrace, marketplace: Marketplace, sandbox: SandboxAddress): Promise<Shop> {
  const seller = await newSeller(sandbox);
  const account = await client.accounts.create(
    marketplace === 'vinted'
      ? { marketplace, name: 'Shop' }
      : marketplace === 'ebay'
        ? { marketplace, name: 'Shop', settings: SETTINGS.ebay, credentials: seller.credentials }
        : { marketplace, name: 'Shop', settings: SETTINGS.etsy, credentials: seller.credentials },
  );
  return {
    seller,
    accountId: account.id,
    async product(images = 1, more = {}) {
      const files = await Promise.all(
        Array.from({ length: images }, (_, index) =>
          client.uploads.upload(png(index), { name: `photo-${index}.png`, contentType: 'image/png' }),
        ),
      );
      const { id } = await client.products.create({
        title: 'A brass lamp',
        description: 'Of the thirties, rewired.',
        price: { amount: 4_950, currency: 'USD' },
        quantity: 1,
        condition: 'very_good',
        image_file_ids: files.map((file) => file.id),
        ...more,
      });
      return id;
    },
  };
}

/** How often the seller's marketplace was asked for an operation. */
export async function callsOf(seller: Seller, operation: string): Promise<number> {
  return (await seller.data()).calls.filter((call) => call.operation === operation).length;
}
