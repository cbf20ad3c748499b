import type { Millrace } from '../../client/index.ts';
import { newTenant, type Tenant, target } from './e2e-world.ts';
import { newSeller, type SandboxAddress, type Seller } from './marketplaces/client.ts';
import { accountOf, PNG, productOf } from './marketplaces/shop.ts';

type Marketplace = 'ebay' | 'etsy' | 'vinted';

export interface Shop {
  readonly seller: Seller;
  readonly accountId: string;
  /** A new product with so many images. */
  product(images?: number, more?: object): Promise<string>;
}

/** The smallest PNG, made different by its end. */
const png = (index: number) => new Uint8Array(Buffer.concat([PNG, Buffer.from(`image ${index}`)]));

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
  const account = await client.marketplaceAccounts.create(accountOf(marketplace, seller.credentials));
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
        ...productOf,
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
