import * as z from 'zod/mini';
import { DomainError } from '../../../contract/errors.ts';
import type { Condition, MarketplaceAccount } from '../../../contract/publishing.ts';
import {
  type Connector,
  categoryProblems,
  decimalOf,
  imageProblems,
  type ListingRun,
  type MarketplaceRules,
  titleProblems,
} from './connector.ts';
import type { HttpRequest, Send } from './http.ts';
import type { Credentials } from './session.ts';

// eBay's Sell Inventory API: https://developer.ebay.com/api-docs/sell/inventory/overview.html
// and, for images, its Media API: https://developer.ebay.com/api-docs/commerce/media/overview.html

export type EbayAccount = MarketplaceAccount & { marketplace: 'ebay' };

export const ebayRules: MarketplaceRules<EbayAccount> = {
  name: 'eBay',
  listingFirst: false,
  problems: (product, { settings }, images) => [
    ...titleProblems(product, 80),
    ...categoryProblems('ebay', product, settings.category_id),
    ...imageProblems(images, {
      most: 24,
      types: [
        'image/jpeg',
        'image/png',
        'image/gif',
        'image/webp',
        'image/bmp',
        'image/tiff',
        'image/avif',
        'image/heic',
      ],
    }),
  ],
};

const CONDITIONS: Readonly<Record<Condition, string>> = {
  new: 'NEW',
  like_new: 'LIKE_NEW',
  very_good: 'USED_VERY_GOOD',
  good: 'USED_GOOD',
  acceptable: 'USED_ACCEPTABLE',
};

/** "Offer not available": of a SKU that has none. */
const NO_OFFER = 25_713;

const Image = z.object({ imageUrl: z.string() });
const Offer = z.object({
  offerId: z.string(),
  status: z.optional(z.string()),
  listing: z.optional(z.object({ listingId: z.optional(z.string()), listingStatus: z.optional(z.string()) })),
  pricingSummary: z.optional(z.object({ price: z.optional(z.object({ value: z.string(), currency: z.string() })) })),
});
const Offers = z.object({ offers: z.array(Offer) });
const NewOffer = z.object({ offerId: z.string() });
const NewListing = z.object({ listingId: z.string() });
const Errors = z.object({ errors: z.array(z.object({ errorId: z.number() })) });

export const ebayAuth = {
  refreshRequest: (base: string, { client_id, client_secret, refresh_token }: Credentials): HttpRequest => ({
    method: 'POST',
    url: `${base}/identity/v1/oauth2/token`,
    headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` },
    form: new URLSearchParams({ grant_type: 'refresh_token', refresh_token }),
  }),
  headers: (_credentials: Credentials, accessToken: string) => ({ authorization: `Bearer ${accessToken}` }),
};

export function ebayConnector(
  { product, once }: ListingRun,
  { settings }: EbayAccount,
  send: Send,
  urls: { api: string; media: string },
): Connector {
  const inventory = `${urls.api}/sell/inventory/v1`;
  // Up to 50 letters and digits, unique in the seller's inventory: a product has one.
  const sku = product.id.replace('prod_', 'MR');
  const language = { 'content-language': settings.content_language };

  async function findOffer(): Promise<z.infer<typeof Offer> | undefined> {
    const query = new URLSearchParams({ sku, marketplace_id: settings.marketplace_id, format: 'FIXED_PRICE' });
    const { status, body, read } = await send({ method: 'GET', url: `${inventory}/offer?${query}`, also: [404] });
    if (status !== 404) return read(Offers).offers[0];
    const known = Errors.safeParse(body).data?.errors.some(({ errorId }) => errorId === NO_OFFER);
    if (known) return undefined;
    throw new DomainError('MarketplaceUnavailableError', 'eBay did not say whether there is an offer');
  }

  async function getOffer(offerId: string) {
    const { read } = await send({ method: 'GET', url: `${inventory}/offer/${encodeURIComponent(offerId)}` });
    return read(Offer);
  }

  const published = (listing_id: string) => ({ listing_id, url: `https://www.ebay.com/itm/${listing_id}` });

  return {
    uploadImage: ({ file, readBytes }) =>
      // An image that is there twice does no harm: eBay deletes those that no listing shows.
      once(
        'image',
        async () => undefined,
        async () => {
          const form = new FormData();
          form.set('image', new Blob([await readBytes()], { type: file.content_type }), file.name);
          const url = `${urls.media}/commerce/media/v1_beta/image/create_image_from_file`;
          return (await send({ method: 'POST', url, form })).read(Image).imageUrl;
        },
      ),

    createListing: (imageUrls) =>
      once(
        'offer',
        async () => (await findOffer())?.offerId,
        async () => {
          const { title, description, condition, quantity } = product;
          await send({
            method: 'PUT',
            url: `${inventory}/inventory_item/${sku}`,
            headers: language,
            json: {
              product: { title, description, imageUrls },
              condition: CONDITIONS[condition],
              availability: { shipToLocationAvailability: { quantity } },
            },
          });
          const { read } = await send({
            method: 'POST',
            url: `${inventory}/offer`,
            headers: language,
            json: {
              sku,
              marketplaceId: settings.marketplace_id,
              format: 'FIXED_PRICE',
              availableQuantity: quantity,
              categoryId: product.category_ids.ebay ?? settings.category_id,
              listingDescription: description,
              merchantLocationKey: settings.merchant_location_key,
              listingPolicies: {
                fulfillmentPolicyId: settings.fulfillment_policy_id,
                paymentPolicyId: settings.payment_policy_id,
                returnPolicyId: settings.return_policy_id,
              },
              pricingSummary: { price: { value: decimalOf(product.price), currency: product.price.currency } },
            },
          });
          return read(NewOffer).offerId;
        },
      ),

    publish: (offerId) =>
      once(
        'publish',
        async () => {
          const { status, listing } = await getOffer(offerId);
          return status === 'PUBLISHED' && listing?.listingId ? published(listing.listingId) : undefined;
        },
        async () => {
          const url = `${inventory}/offer/${encodeURIComponent(offerId)}/publish`;
          return published((await send({ method: 'POST', url })).read(NewListing).listingId);
        },
      ),

    async verify({ listing_id }) {
      const offer = await findOffer();
      if (offer?.status !== 'PUBLISHED' || offer.listing?.listingId !== listing_id)
        throw new DomainError('ListingRefusedError', `eBay no longer lists ${listing_id}`);
      const { listingStatus = 'ACTIVE' } = offer.listing;
      if (listingStatus !== 'ACTIVE')
        throw new DomainError(
          'ListingRefusedError',
          `the listing ${listing_id} has the status ${listingStatus} on eBay`,
        );
      const { value, currency } = offer.pricingSummary?.price ?? {};
      if (Number(value) !== Number(decimalOf(product.price)) || currency !== product.price.currency)
        throw new DomainError(
          'ListingRefusedError',
          `the listing ${listing_id} has a different price: ${value} ${currency}`,
        );
    },
  };
}
