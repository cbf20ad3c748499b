import * as z from 'zod/mini';
import { defineListingTask } from '../listing-task.ts';

const Uploaded = z.object({ image: z.string() });

export const task = defineListingTask('create_listing', async (ctx, connector) => {
  const images = (await ctx.outputs('upload_images')).map(({ output }) => Uploaded.parse(output).image);
  return { draft: await connector.createListing(images) };
});
