import { DomainError } from '../../../contract/errors.ts';
import type { FileRef } from '../../../contract/jobs.ts';
import { MarketplaceAccountId, ProductId } from '../../../contract/publishing.ts';
import { publishing } from '../../../contract/workflows/publishing.ts';
import { defineTask } from '../../jobs/public.ts';
import { servicesOf } from '../listing-task.ts';
import { getMarketplaceAccount } from '../marketplace-accounts.ts';
import { problemsFor, RULES } from '../marketplaces/rules.ts';
import { getProduct } from '../products.ts';

export const task = defineTask(publishing, 'validate', async (ctx) => {
  const { table } = servicesOf(ctx);
  const account = await getMarketplaceAccount(
    { table },
    ctx.tenantId,
    MarketplaceAccountId.parse(ctx.input.account_id),
  );
  const product = await getProduct({ table }, ctx.tenantId, ProductId.parse(ctx.input.product_id));
  const images = (ctx.input.image_file_ids ?? []).map((_, index) => ctx.files[`image_file_ids[${index}]`] as FileRef);
  const problems = problemsFor(account, product, images);
  const { name, listingFirst } = RULES[account.marketplace];
  if (problems.length > 0) {
    const told = problems.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
    throw new DomainError('ListingRefusedError', `${name} would reject the product: ${told}`, { problems });
  }
  return { product, account, listing_first: listingFirst, items: images.map((_, index) => index) };
});
