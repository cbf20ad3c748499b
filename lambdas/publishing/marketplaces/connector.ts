import type { FileRef } from '../../../contract/jobs.ts';
import { MAX_IMAGE_BYTES } from '../../../contract/limits.ts';
import type { MarketplaceAccount, Price, Product } from '../../../contract/publishing.ts';
import type { Value } from '../../../platform/ports/table.ts';
import type { Problem } from '../../runtime/validation.ts';

/** One run of a task of a job, as a connector sees it. */
export interface ListingRun {
  readonly product: Product;
  /**
   * An effect, once: unless the ledger has its result, `ask` asks the marketplace whether it has happened, and `act` does
   * it. So a ledger that was lost doesn't do it twice either.
   */
  once<T extends Value>(name: string, ask: () => Promise<T | undefined>, act: () => Promise<T>): Promise<T>;
}

interface ImageToUpload {
  /** From 0. */
  readonly index: number;
  readonly file: FileRef;
  /** The listing that it belongs to, where there is one already. */
  readonly draft: string | undefined;
  readBytes(): Promise<Uint8Array<ArrayBuffer>>;
}

type Published = { readonly listing_id: string; readonly url?: string };

/** Publishes products on one account of a marketplace; a product has one listing there. */
export interface Connector {
  /** The marketplace's id of an image. */
  uploadImage(image: ImageToUpload): Promise<string>;
  /** Makes what is to be published; the marketplace's id of it. */
  createListing(images: readonly string[]): Promise<string>;
  publish(draft: string): Promise<Published>;
  /** Throws unless buyers can see it as it should be. */
  verify(published: Published): Promise<void>;
}

/** A marketplace: what it takes, and how to work with it. */
export interface MarketplaceRules<Account extends MarketplaceAccount> {
  /** Such as `eBay`. */
  readonly name: string;
  /** Whether images are added to a listing that must be there first. */
  readonly listingFirst: boolean;
  /** What it would refuse of a product. */
  problems(product: Product, account: Account, images: readonly FileRef[]): Problem[];
}

export function titleProblems({ title }: Product, most: number): Problem[] {
  return title.length > most
    ? [{ field: 'title', problem: `has ${title.length} characters; at most ${most} are allowed` }]
    : [];
}

export function categoryProblems(marketplace: 'ebay' | 'etsy', product: Product, category_id?: string): Problem[] {
  if (product.category_ids[marketplace] ?? category_id) return [];
  const field = `category_ids.${marketplace}`;
  return [{ field, problem: 'is required on the product or the account' }];
}

export function imageProblems(
  images: readonly FileRef[],
  { most, types }: { most: number; types: readonly string[] },
): Problem[] {
  const few = images.length > most ? [{ field: 'image_file_ids', problem: `at most ${most} images are allowed` }] : [];
  return [
    ...few,
    ...images.flatMap(({ name, content_type, size_bytes }, index) => {
      const field = `image_file_ids[${index}]`;
      if (!types.includes(content_type))
        return [{ field, problem: `${name} has the type ${content_type}; allowed are ${types.join(', ')}` }];
      if (size_bytes > MAX_IMAGE_BYTES)
        return [{ field, problem: `${name} has ${size_bytes} bytes; at most ${MAX_IMAGE_BYTES} are allowed` }];
      return [];
    }),
  ];
}

/** `1999` of EUR is `19.99`, of JPY `1999`. */
export function decimalOf({ amount, currency }: Price): string {
  const style = new Intl.NumberFormat('en', { style: 'currency', currency });
  const digits = style.resolvedOptions().maximumFractionDigits ?? 2;
  if (digits === 0) return String(amount);
  const text = String(amount).padStart(digits + 1, '0');
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}
