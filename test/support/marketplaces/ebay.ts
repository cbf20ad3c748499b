import * as z from 'zod/mini';
import {
  formOf,
  isImage,
  jsonOf,
  multipartOf,
  newNumber,
  newToken,
  Refusal,
  type SandboxOperation,
  type SandboxRequest,
  type SellerData,
  sellerOfToken,
} from './operation.ts';

// After https://developer.ebay.com/api-docs/master/sell/inventory/openapi/3/sell_inventory_v1_oas3.json,
// https://developer.ebay.com/api-docs/commerce/media/resources/image/methods/createImageFromFile and
// https://developer.ebay.com/api-docs/static/oauth-refresh-token-request.html

const text = (most: number) => z.string().check(z.minLength(1), z.maxLength(most));

const InventoryItem = z.strictObject({
  product: z.strictObject({
    title: text(80),
    description: text(4_000),
    imageUrls: z.array(z.string().check(z.regex(/^https:\/\//))).check(z.minLength(1), z.maxLength(24)),
  }),
  condition: z.enum(['NEW', 'LIKE_NEW', 'USED_EXCELLENT', 'USED_VERY_GOOD', 'USED_GOOD', 'USED_ACCEPTABLE']),
  availability: z.strictObject({
    shipToLocationAvailability: z.strictObject({ quantity: z.int().check(z.minimum(0)) }),
  }),
});

const Offer = z.strictObject({
  sku: text(50),
  marketplaceId: z.enum(['EBAY_US', 'EBAY_GB', 'EBAY_DE', 'EBAY_FR', 'EBAY_IT', 'EBAY_ES']),
  format: z.literal('FIXED_PRICE'),
  availableQuantity: z.int().check(z.minimum(1)),
  categoryId: z.string().check(z.regex(/^\d+$/)),
  listingDescription: text(500_000),
  merchantLocationKey: text(36),
  listingPolicies: z.strictObject({
    fulfillmentPolicyId: text(20),
    paymentPolicyId: text(20),
    returnPolicyId: text(20),
  }),
  pricingSummary: z.strictObject({
    price: z.strictObject({
      value: z.string().check(z.regex(/^\d+(\.\d{1,3})?$/)),
      currency: z.string().check(z.regex(/^[A-Z]{3}$/)),
    }),
  }),
});

function refuse(status: number, errorId: number, message: string, domain = 'API_INVENTORY'): never {
  throw new Refusal({ status, body: { errors: [{ errorId, domain, category: 'REQUEST', message }] } });
}

const unauthorized = () => refuse(401, 1_001, 'Invalid access token', 'OAuth');

function seller({ headers }: SandboxRequest): string {
  return sellerOfToken(headers.authorization?.replace(/^Bearer /, '') ?? '') ?? unauthorized();
}

function checkToken(data: SellerData, { headers }: SandboxRequest): void {
  if (!data.access_tokens.some((token) => headers.authorization === `Bearer ${token}`)) unauthorized();
}

function parse<T>(schema: z.ZodMiniType<T>, request: SandboxRequest): T {
  const parsed = schema.safeParse(jsonOf(request));
  if (!parsed.success) refuse(400, 2_004, `Invalid request: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function checkLanguage({ headers }: SandboxRequest): void {
  if (!/^[a-z]{2}-[A-Z]{2}$/.test(headers['content-language'] ?? ''))
    refuse(400, 25_709, 'Invalid value for header Content-Language.');
}

function offerView(listing: SellerData['listings'][number]) {
  const { id: offerId, state: status, listing_id: listingId, fields } = listing;
  const view = { ...fields, offerId, status };
  return listingId ? { ...view, listing: { listingId, listingStatus: 'ACTIVE', soldQuantity: 0 } } : view;
}

const operation = (name: string, method: string, path: RegExp, run: SandboxOperation['run']): SandboxOperation => ({
  name: `ebay.${name}`,
  method,
  path,
  seller,
  run: (data, request, params) => {
    checkToken(data, request);
    return run(data, request, params);
  },
});

export const ebayOperations: readonly SandboxOperation[] = [
  {
    name: 'ebay.token',
    method: 'POST',
    path: /^\/identity\/v1\/oauth2\/token$/,
    seller: ({ headers }) => clientOf(headers.authorization)[0],
    run: (data, request) => {
      const [, secret] = clientOf(request.headers.authorization);
      const form = formOf(request);
      if (secret !== data.client_secret)
        return { status: 401, body: { error: 'invalid_client', error_description: 'client authentication failed' } };
      if (form?.get('grant_type') !== 'refresh_token' || !data.refresh_tokens.includes(form.get('refresh_token') ?? ''))
        return { status: 400, body: { error: 'invalid_grant', error_description: 'the provided grant is invalid' } };
      const access_token = newToken(data, 'at');
      data.access_tokens = [access_token];
      return { status: 200, body: { access_token, expires_in: 7_200, token_type: 'User Access Token' } };
    },
  },
  operation(
    'createImageFromFile',
    'POST',
    /^\/commerce\/media\/v1_beta\/image\/create_image_from_file$/,
    async (data, request) => {
      const file = (await multipartOf(request))?.get('image');
      if (!(file instanceof File) || !(await isImage(file)))
        refuse(400, 190_203, 'Image format not supported.', 'API_MEDIA');
      const id = String(newNumber(data));
      const imageUrl = `https://i.ebayimg.com/images/g/${id}/s-l1600.jpg`;
      data.images.push({ id: imageUrl, bytes: file.size, name: file.name });
      return {
        status: 201,
        headers: { location: `https://apim.ebay.com/commerce/media/v1_beta/image/${id}` },
        body: { imageUrl, expirationDate: '2027-01-01T00:00:00.000Z' },
      };
    },
  ),
  operation(
    'createOrReplaceInventoryItem',
    'PUT',
    /^\/sell\/inventory\/v1\/inventory_item\/([^/]+)$/,
    (data, request, [sku = '']) => {
      if (!/^[A-Za-z0-9]{1,50}$/.test(sku))
        refuse(400, 25_707, 'Invalid sku: it has to be alphanumeric with up to 50 characters.');
      checkLanguage(request);
      const item = parse(InventoryItem, request);
      const unknown = item.product.imageUrls.find((url) => !data.images.some(({ id }) => id === url));
      if (unknown) refuse(400, 25_014, `Invalid picture ${unknown}`);
      data.items[sku] = item;
      return { status: 204 };
    },
  ),
  operation('getOffers', 'GET', /^\/sell\/inventory\/v1\/offer$/, (data, { query }) => {
    const offers = data.listings.filter(
      ({ reference, fields }) =>
        reference === query.get('sku') &&
        (query.get('marketplace_id') ?? fields.marketplaceId) === fields.marketplaceId &&
        (query.get('format') ?? fields.format) === fields.format,
    );
    if (!query.get('sku')) refuse(400, 25_707, 'Invalid sku.');
    if (offers.length === 0) refuse(404, 25_713, 'This Offer is not available.');
    return {
      status: 200,
      body: { total: offers.length, size: offers.length, limit: 100, offers: offers.map(offerView) },
    };
  }),
  operation('createOffer', 'POST', /^\/sell\/inventory\/v1\/offer$/, (data, request) => {
    checkLanguage(request);
    const offer = parse(Offer, request);
    if (!data.items[offer.sku]) refuse(400, 25_702, `SKU ${offer.sku} could not be found or is not available.`);
    if (
      data.listings.some(
        ({ reference, fields }) => reference === offer.sku && fields.marketplaceId === offer.marketplaceId,
      )
    )
      refuse(400, 25_002, 'A user error has occurred. Offer entity already exists.');
    const id = String(newNumber(data));
    data.listings.push({ id, reference: offer.sku, state: 'UNPUBLISHED', fields: offer, images: [] });
    return { status: 201, body: { offerId: id } };
  }),
  operation('getOffer', 'GET', /^\/sell\/inventory\/v1\/offer\/(\d+)$/, (data, _request, [id]) => {
    const listing = data.listings.find((each) => each.id === id) ?? refuse(404, 25_713, 'This Offer is not available.');
    return { status: 200, body: offerView(listing) };
  }),
  operation('publishOffer', 'POST', /^\/sell\/inventory\/v1\/offer\/(\d+)\/publish$/, (data, _request, [id]) => {
    const listing = data.listings.find((each) => each.id === id) ?? refuse(404, 25_713, 'This Offer is not available.');
    if (listing.state === 'PUBLISHED')
      refuse(400, 25_002, 'A user error has occurred. The offer is published already.');
    listing.state = 'PUBLISHED';
    listing.listing_id = String(newNumber(data));
    return { status: 200, body: { listingId: listing.listing_id } };
  }),
];

/** Of `Basic <base64 of client_id:client_secret>`. */
function clientOf(authorization = ''): [string, string] {
  const [id = '', secret = ''] = Buffer.from(authorization.replace(/^Basic /, ''), 'base64')
    .toString()
    .split(':');
  return [id, secret];
}
