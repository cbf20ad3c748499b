import type { FileRef } from '../../../contract/jobs.ts';
import type { MarketplaceAccount, Product } from '../../../contract/publishing.ts';
import type { Problem } from '../../runtime/validation.ts';
import { ebayRules } from './ebay.ts';
import { etsyRules } from './etsy.ts';
import { vintedRules } from './vinted.ts';

export const RULES = { ebay: ebayRules, etsy: etsyRules, vinted: vintedRules } as const;

/** What the account's marketplace would refuse of a product. */
export function problemsFor(account: MarketplaceAccount, product: Product, images: readonly FileRef[]): Problem[] {
  if (account.marketplace === 'ebay') return ebayRules.problems(product, account, images);
  if (account.marketplace === 'etsy') return etsyRules.problems(product, account, images);
  return vintedRules.problems(product, account, images);
}
