import * as z from 'zod/mini';
import { DomainError } from '../../../contract/errors.ts';
import type { MarketplaceAccount } from '../../../contract/publishing.ts';
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

// Etsy's Open API v3: https://developers.etsy.com/documentation/reference

export type EtsyAccount = MarketplaceAccount & { marketplace: 'etsy' };

export const etsyRules: MarketplaceRules<EtsyAccount> = {
  name: 'Etsy',
  listingFirst: true,
  problems: (product, { settings }, images) => [
    ...titleProblems(product, 140),
    ...categoryProblems('etsy', product, settings.category_id),
    ...imageProblems(images, { most: 20, types: ['image/jpeg', 'image/png', 'image/gif'] }),
  ],
};

/** Where a listing can be, those that were made last first. */
const STATES = ['draft', 'active', 'inactive', 'sold_out', 'expired'];
const PAGE = 100;

const id = z.pipe(z.int(), z.transform(String));
const Listing = z.object({
  listing_id: id,
  state: z.string(),
  tags: z._default(z.array(z.string()), []),
  url: z.optional(z.string()),
  price: z.optional(z.object({ amount: z.number(), divisor: z.number(), currency_code: z.string() })),
});
type Listing = z.infer<typeof Listing>;
const Listings = z.object({ count: z.int(), results: z.array(Listing) });
const Image = z.object({ listing_image_id: id, rank: z.int() });
const Images = z.object({ results: z.array(Image) });
const Shop = z.object({ currency_code: z.string() });

export const etsyAuth = {
  refreshRequest: (base: string, { client_id, refresh_token }: Credentials): HttpRequest => ({
    method: 'POST',
    url: `${base}/v3/public/oauth/token`,
    form: new URLSearchParams({ grant_type: 'refresh_token', client_id, refresh_token }),
  }),
  headers: ({ client_id, client_secret }: Credentials, accessToken: string) => ({
    'x-api-key': `${client_id}:${client_secret}`,
    authorization: `Bearer ${accessToken}`,
  }),
};

export function etsyConnector(
  { product, once }: ListingRun,
  { settings }: EtsyAccount,
  send: Send,
  base: string,
): Connector {
  const application = `${base}/v3/application`;
  const shop = `${application}/shops/${settings.shop_id}`;
  // The listing is made with it, in one request; a SKU comes only by a second one. Tags have up to 20 characters.
  const tag = `mr-${product.id.slice(-16).toLowerCase()}`;

  async function findListing(): Promise<Listing | undefined> {
    for (const state of STATES) {
      for (let offset = 0, count = 1; offset < count; offset += PAGE) {
        const query = new URLSearchParams({ state, limit: String(PAGE), offset: String(offset) });
        const { read } = await send({ method: 'GET', url: `${shop}/listings?${query}` });
        const page = read(Listings);
        count = page.count;
        const found = page.results.find(({ tags }) => tags.some((each) => each.toLowerCase() === tag));
        if (found) return found;
      }
    }
    return undefined;
  }

  async function getListing(listingId: string): Promise<Listing> {
    const { read } = await send({ method: 'GET', url: `${application}/listings/${encodeURIComponent(listingId)}` });
    return read(Listing);
  }

  /** A price is in the shop's currency, whatever it is meant in. */
  async function checkCurrency(): Promise<void> {
    const { currency_code } = (await send({ method: 'GET', url: shop })).read(Shop);
    const { currency } = product.price;
    if (currency_code === currency) return;
    throw new DomainError('ListingRefusedError', `the shop sells in ${currency_code}, but the price is in ${currency}`);
  }

  const published = ({ listing_id, url }: Listing) => ({ listing_id, ...(url ? { url } : {}) });

  return {
    createListing: () =>
      once(
        'listing',
        async () => (await findListing())?.listing_id,
        async () => {
          await checkCurrency();
          const form = new URLSearchParams({
            title: product.title,
            description: product.description,
            price: decimalOf(product.price),
            quantity: String(product.quantity),
            who_made: settings.who_made,
            when_made: settings.when_made,
            is_supply: 'false',
            type: 'physical',
            taxonomy_id: product.category_ids.etsy ?? settings.category_id ?? '',
            shipping_profile_id: settings.shipping_profile_id,
            return_policy_id: settings.return_policy_id,
            readiness_state_id: settings.readiness_state_id,
            tags: tag,
          });
          return (await send({ method: 'POST', url: `${shop}/listings`, form })).read(Listing).listing_id;
        },
      ),

    uploadImage: ({ index, file, draft = '', readBytes }) => {
      const rank = index + 1;
      const listing = encodeURIComponent(draft);
      return once(
        'image',
        async () => {
          const { read } = await send({ method: 'GET', url: `${application}/listings/${listing}/images` });
          return read(Images).results.find((image) => image.rank === rank)?.listing_image_id;
        },
        async () => {
          const form = new FormData();
          form.set('image', new Blob([await readBytes()], { type: file.content_type }), file.name);
          form.set('rank', String(rank));
          form.set('overwrite', 'true');
          const { read } = await send({ method: 'POST', url: `${shop}/listings/${listing}/images`, form });
          return read(Image).listing_image_id;
        },
      );
    },

    publish: (listingId) =>
      once(
        'publish',
        async () => {
          const listing = await getListing(listingId);
          return listing.state === 'active' ? published(listing) : undefined;
        },
        async () => {
          const url = `${shop}/listings/${encodeURIComponent(listingId)}`;
          const form = new URLSearchParams({ state: 'active' });
          return published((await send({ method: 'PATCH', url, form })).read(Listing));
        },
      ),

    async verify({ listing_id }) {
      const { state, price } = await getListing(listing_id);
      if (state !== 'active')
        throw new DomainError('ListingRefusedError', `the listing ${listing_id} has the state ${state} on Etsy`);
      const value = price && price.amount / price.divisor;
      if (value !== Number(decimalOf(product.price)))
        throw new DomainError('ListingRefusedError', `the listing ${listing_id} has a different price: ${value}`);
    },
  };
}
