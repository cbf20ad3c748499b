import * as z from 'zod/mini';
import type { FileRef } from '../../../contract/jobs.ts';
import { readObject } from '../../../platform/ports/read-object.ts';
import { defineListingTask, type PublishingContext } from '../listing-task.ts';

const Draft = z.object({ draft: z.string() });

export const task = defineListingTask('upload_images', async (ctx, connector) => {
  const index = ctx.item ?? 0;
  const file = ctx.files[`image_file_ids[${index}]`] as FileRef;
  const [listing] = await ctx.outputs('create_listing');
  const draft = listing && Draft.parse(listing.output).draft;
  return { image: await connector.uploadImage({ index, file, draft, readBytes: () => readBytes(ctx, file) }) };
});

async function readBytes({ objects }: PublishingContext, { object_key }: FileRef): Promise<Uint8Array<ArrayBuffer>> {
  return readObject(objects, object_key);
}
