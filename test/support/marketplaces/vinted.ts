import * as z from 'zod/mini';
import {
  jsonOf,
  newNumber,
  Refusal,
  type SandboxOperation,
  type SandboxRequest,
  type SellerData,
} from './operation.ts';

// Vinted publishes no API. This is what the tests' bridge works on: a site that knows nothing of Millrace.

const Photo = z.strictObject({ name: z.string(), bytes: z.int().check(z.minimum(1)) });
const Draft = z.strictObject({
  reference: z.string(),
  title: z.string().check(z.minLength(1), z.maxLength(100)),
  description: z.string(),
  price: z.strictObject({ amount: z.int(), currency: z.string() }),
  photo_ids: z.array(z.string()).check(z.minLength(1)),
});

function refuse(status: number, error: string): never {
  throw new Refusal({ status, body: { error } });
}

function parse<T>(schema: z.ZodMiniType<T>, request: SandboxRequest): T {
  const parsed = schema.safeParse(jsonOf(request));
  return parsed.success ? parsed.data : refuse(400, z.prettifyError(parsed.error));
}

const view = ({ id, reference, state, listing_id }: SellerData['listings'][number]) => ({
  id,
  reference,
  state,
  listing_id,
});

const operation = (name: string, method: string, path: string, run: SandboxOperation['run']): SandboxOperation => ({
  name: `vinted.${name}`,
  method,
  path: new RegExp(`^/vinted${path}$`),
  seller: ({ headers }) => headers['x-seller'] ?? refuse(401, 'who are you?'),
  run,
});

export const vintedOperations: readonly SandboxOperation[] = [
  operation('uploadPhoto', 'POST', '/photos', (data, request) => {
    const { name, bytes } = parse(Photo, request);
    const id = String(newNumber(data));
    data.images.push({ id, bytes, name });
    return { status: 201, body: { id } };
  }),
  operation('createDraft', 'POST', '/drafts', (data, request) => {
    const fields = parse(Draft, request);
    if (!fields.photo_ids.every((photo) => data.images.some(({ id }) => id === photo))) refuse(400, 'no such photo');
    const listing = { id: String(newNumber(data)), reference: fields.reference, state: 'draft', fields, images: [] };
    data.listings.push(listing);
    return { status: 201, body: view(listing) };
  }),
  operation('findItems', 'GET', '/items', (data, { query }) => ({
    status: 200,
    body: { items: data.listings.filter(({ reference }) => reference === query.get('reference')).map(view) },
  })),
  operation('publishDraft', 'POST', '/drafts/(\\d+)/publish', (data, _request, [id]) => {
    const listing = data.listings.find((each) => each.id === id) ?? refuse(404, 'no such draft');
    if (listing.state === 'listed') refuse(409, 'it is listed already');
    listing.state = 'listed';
    listing.listing_id = String(newNumber(data));
    return { status: 200, body: view(listing) };
  }),
];
