import * as z from 'zod/mini';
import { defineListingTask, outputOf } from '../listing-task.ts';

const Published = z.object({ listing_id: z.string(), url: z.optional(z.string()) });

export const task = defineListingTask('verify', async (ctx, connector) => {
  const { listing_id, url } = await outputOf(ctx, 'publish', Published);
  const published = { listing_id, ...(url ? { url } : {}) };
  await connector.verify(published);
  return { ...published, verified: true };
});
