import type * as z from 'zod/mini';
import { DomainError } from '../../../contract/errors.ts';
import { BRIDGE_RESULTS, type BridgeCommandType, type MarketplaceAccount } from '../../../contract/publishing.ts';
import type { Value } from '../../../platform/ports/table.ts';
import type { CommandToSend } from '../bridge.ts';
import { type Connector, imageProblems, type ListingRun, type MarketplaceRules, titleProblems } from './connector.ts';

export type VintedAccount = MarketplaceAccount & { marketplace: 'vinted' };

export const vintedRules: MarketplaceRules<VintedAccount> = {
  name: 'Vinted',
  listingFirst: false,
  problems: (product, _account, images) => [
    ...titleProblems(product, 100),
    ...(product.quantity > 1 ? [{ field: 'quantity', problem: 'must be 1 on Vinted' }] : []),
    ...imageProblems(images, { most: 20, types: ['image/jpeg', 'image/png', 'image/webp'] }),
  ],
};

type AskBridge = (
  command: Pick<CommandToSend, 'type' | 'payload' | 'image'>,
) => Promise<Readonly<Record<string, Value>>>;

/** Vinted has no public API: the seller's bridge does it, and asks Vinted first. A task sends one command. */
export function vintedConnector(
  { product, once }: ListingRun,
  { settings }: VintedAccount,
  askBridge: AskBridge,
): Connector {
  async function ask<T extends BridgeCommandType>(
    type: T,
    payload: Readonly<Record<string, Value>>,
    image?: CommandToSend['image'],
  ): Promise<z.output<(typeof BRIDGE_RESULTS)[T]>> {
    const result = await askBridge({ type, payload, ...(image ? { image } : {}) });
    return BRIDGE_RESULTS[type].parse(result) as z.output<(typeof BRIDGE_RESULTS)[T]>;
  }
  const unknown = async () => undefined;

  return {
    uploadImage: ({ index, file }) =>
      once('image', unknown, async () => (await ask('upload_image', { index }, file)).photo_id),

    createListing: (photo_ids) =>
      once('listing', unknown, async () => {
        const { id, title, description, price, quantity, condition, category_ids } = product;
        const category_id = category_ids.vinted ?? settings.category_id;
        const details = { id, title, description, price, quantity, condition, ...(category_id ? { category_id } : {}) };
        return (await ask('create_listing', { product: details, photo_ids })).draft_id;
      }),

    publish: (draft_id) =>
      once('publish', unknown, async () => {
        const { listing_id, url } = await ask('publish', { draft_id });
        return { listing_id, ...(url ? { url } : {}) };
      }),

    async verify({ listing_id }) {
      const { listed } = await ask('verify', { listing_id });
      if (!listed) throw new DomainError('ListingRefusedError', `the bridge did not find ${listing_id} on Vinted`);
    },
  };
}
