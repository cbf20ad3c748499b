import * as z from 'zod/mini';
import { FileId } from '../common.ts';
import { MAX_PRODUCT_IMAGES } from '../limits.ts';
import { Marketplace, MarketplaceAccountId, ProductId } from '../publishing.ts';
import { workflow } from '../workflow.ts';

const PublishingInput = z.strictObject({
  product_id: ProductId.check(z.describe('Product to publish')),
  account_id: MarketplaceAccountId.check(z.describe('Marketplace account to publish it on')),
  /** The account's. */
  marketplace: z.optional(Marketplace).check(z.describe('Set by the server from the account')),
  /** The product's images when the job was created. */
  image_file_ids: z
    .optional(z.array(FileId).check(z.maxLength(MAX_PRODUCT_IMAGES)))
    .check(z.describe('Set by the server from the product; must be absent')),
});

export const publishing = workflow({
  name: 'publishing',
  description: 'Publishes a product once, on eBay, on Etsy, or on Vinted through the seller’s bridge.',
  input: PublishingInput,
  context: 'publishing',
  labelField: 'marketplace',
  files: ['image_file_ids'],
  plan: ({ marketplace, image_file_ids = [] }) => {
    const images = image_file_ids.map((_, item) => ({ step: 'upload_images', item }));
    const listing = { step: 'create_listing' };
    // Etsy's images belong to a listing, which has to be there first.
    const middle = marketplace === 'etsy' ? [listing, ...images] : [...images, listing];
    return [{ step: 'validate' }, ...middle, { step: 'publish' }, { step: 'verify' }];
  },
  tasks: {
    Validate: { file: 'lambdas/publishing/tasks/validate.ts' },
    UploadImage: { file: 'lambdas/publishing/tasks/upload-image.ts' },
    WaitForImageAnswer: { file: 'lambdas/publishing/tasks/wait-for-answer.ts' },
    CreateListing: { file: 'lambdas/publishing/tasks/create-listing.ts' },
    Publish: { file: 'lambdas/publishing/tasks/publish.ts' },
    Verify: { file: 'lambdas/publishing/tasks/verify.ts' },
    WaitForAnswer: { file: 'lambdas/publishing/tasks/wait-for-answer.ts' },
  },
});
