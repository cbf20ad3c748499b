import * as z from 'zod/mini';
import { defineListingTask, outputOf } from '../listing-task.ts';

const Draft = z.object({ draft: z.string() });

export const task = defineListingTask('publish', async (ctx, connector) => {
  const { draft } = await outputOf(ctx, 'create_listing', Draft);
  return connector.publish(draft);
});
