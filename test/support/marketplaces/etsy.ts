import * as z from 'zod/mini';
import {
  formOf,
  isImage,
  multipartOf,
  newNumber,
  newToken,
  Refusal,
  type SandboxOperation,
  type SandboxRequest,
  type SellerData,
  sellerOfToken,
} from './operation.ts';

// After https://developers.etsy.com/documentation/reference and https://developers.etsy.com/documentation/essentials/authentication

const SHOP_ID = '7001';
const digits = z.string().check(z.regex(/^[1-9]\d*$/));

/** Of createDraftListing, for a physical listing. */
const DraftListing = z.strictObject({
  title: z.string().check(z.minLength(1), z.maxLength(140)),
  description: z.string().check(z.minLength(1)),
  price: z.string().check(z.regex(/^\d+(\.\d{1,2})?$/)),
  quantity: z.string().check(z.regex(/^[1-9]\d{0,2}$/)),
  who_made: z.enum(['i_did', 'someone_else', 'collective']),
  when_made: z.enum([
    'made_to_order',
    '2020_2026',
    '2010_2019',
    '2007_2009',
    'before_2007',
    '2000_2006',
    '1990s',
    '1980s',
  ]),
  is_supply: z.optional(z.enum(['true', 'false'])),
  type: z.optional(z.enum(['physical', 'download', 'both'])),
  taxonomy_id: digits,
  shipping_profile_id: digits,
  return_policy_id: digits,
  readiness_state_id: digits,
  tags: z.optional(
    z
      .string()
      .check(z.refine((tags) => tags.split(',').every((tag) => /^[\p{L}\p{Nd}\p{Zs}\-'™©®]{1,20}$/u.test(tag)))),
  ),
});

function refuse(status: number, error: string): never {
  throw new Refusal({ status, body: { error } });
}

function seller({ headers }: SandboxRequest): string {
  return sellerOfToken(headers.authorization?.replace(/^Bearer /, '') ?? '') ?? refuse(401, 'invalid_token');
}

function check(data: SellerData, { headers }: SandboxRequest): void {
  if (headers['x-api-key'] !== `${data.seller}:${data.client_secret}`)
    refuse(403, 'Invalid API key: should be keystring and shared secret');
  if (!data.access_tokens.some((token) => headers.authorization === `Bearer ${token}`)) refuse(401, 'invalid_token');
}

function view({ id, state, fields, images }: SellerData['listings'][number]) {
  return {
    listing_id: Number(id),
    shop_id: Number(SHOP_ID),
    title: fields.title,
    description: fields.description,
    state,
    quantity: Number(fields.quantity),
    tags: String(fields.tags ?? '')
      .split(',')
      .filter(Boolean),
    url: `https://www.etsy.com/listing/${id}`,
    price: { amount: Math.round(Number(fields.price) * 100), divisor: 100, currency_code: 'USD' },
    images: images.map(({ id: image, rank }) => ({ listing_image_id: Number(image), rank })),
  };
}

function find(data: SellerData, id: string | undefined) {
  return data.listings.find((listing) => listing.id === id) ?? refuse(404, 'Resource not found');
}

const application = '^/v3/application';
const operation = (name: string, method: string, path: string, run: SandboxOperation['run']): SandboxOperation => ({
  name: `etsy.${name}`,
  method,
  path: new RegExp(`${application}${path}$`),
  seller,
  run: (data, request, params) => {
    check(data, request);
    return run(data, request, params);
  },
});

export const etsyOperations: readonly SandboxOperation[] = [
  {
    name: 'etsy.token',
    method: 'POST',
    path: /^\/v3\/public\/oauth\/token$/,
    seller: (request) => formOf(request)?.get('client_id') ?? refuse(400, 'invalid_request'),
    run: (data, request) => {
      const form = formOf(request);
      if (form?.get('grant_type') !== 'refresh_token' || !data.refresh_tokens.includes(form.get('refresh_token') ?? ''))
        return { status: 400, body: { error: 'invalid_grant', error_description: 'refresh_token is invalid' } };
      const [access_token, refresh_token] = [newToken(data, 'at'), newToken(data, 'rt')];
      data.access_tokens = [access_token];
      data.refresh_tokens = [refresh_token];
      return { status: 200, body: { access_token, token_type: 'Bearer', expires_in: 3_600, refresh_token } };
    },
  },
  operation('getShop', 'GET', `/shops/${SHOP_ID}`, () => ({
    status: 200,
    body: { shop_id: Number(SHOP_ID), shop_name: 'Sandbox', currency_code: 'USD' },
  })),
  operation('createDraftListing', 'POST', `/shops/${SHOP_ID}/listings`, (data, request) => {
    const form = formOf(request) ?? refuse(400, 'the body is to be application/x-www-form-urlencoded');
    const parsed = DraftListing.safeParse(Object.fromEntries(form));
    if (!parsed.success) refuse(400, z.prettifyError(parsed.error));
    const id = String(newNumber(data));
    const listing = { id, reference: parsed.data.tags ?? '', state: 'draft', fields: parsed.data, images: [] };
    data.listings.push(listing);
    return { status: 201, body: view(listing) };
  }),
  operation('getListingsByShop', 'GET', `/shops/${SHOP_ID}/listings`, (data, { query }) => {
    const [limit, offset] = [Number(query.get('limit') ?? 25), Number(query.get('offset') ?? 0)];
    if (!(limit >= 1 && limit <= 100)) refuse(400, 'limit is 1 to 100');
    const found = data.listings.filter(({ state }) => state === (query.get('state') ?? 'active'));
    return { status: 200, body: { count: found.length, results: found.slice(offset, offset + limit).map(view) } };
  }),
  operation('getListing', 'GET', '/listings/(\\d+)', (data, _request, [id]) => ({
    status: 200,
    body: view(find(data, id)),
  })),
  operation('getListingImages', 'GET', '/listings/(\\d+)/images', (data, _request, [id]) => {
    const { images } = view(find(data, id));
    return { status: 200, body: { count: images.length, results: images } };
  }),
  operation('uploadListingImage', 'POST', `/shops/${SHOP_ID}/listings/(\\d+)/images`, async (data, request, [id]) => {
    const listing = find(data, id);
    const form = (await multipartOf(request)) ?? refuse(400, 'the body is to be multipart/form-data');
    const file = form.get('image');
    if (!(file instanceof File) || !(await isImage(file))) refuse(400, 'The image is not one of jpg, gif, png');
    const rank = Number(form.get('rank') ?? 1);
    if (form.get('overwrite') === 'true') listing.images = listing.images.filter((image) => image.rank !== rank);
    if (rank > listing.images.length + 1) refuse(400, 'rank is beyond the number of images');
    const image = { id: String(newNumber(data)), rank };
    listing.images.push(image);
    data.images.push({ id: image.id, bytes: file.size, name: file.name });
    return { status: 201, body: { listing_image_id: Number(image.id), listing_id: Number(id), rank } };
  }),
  operation('updateListing', 'PATCH', `/shops/${SHOP_ID}/listings/(\\d+)`, (data, request, [id]) => {
    const listing = find(data, id);
    const form = formOf(request) ?? refuse(400, 'the body is to be application/x-www-form-urlencoded');
    if (form.get('state') !== 'active' || [...form.keys()].length !== 1) refuse(400, 'the sandbox activates only');
    if (listing.images.length === 0) refuse(400, 'A listing needs at least one image to be activated');
    listing.state = 'active';
    listing.listing_id = listing.id;
    return { status: 200, body: view(listing) };
  }),
];
