// A seller's program for `millrace bridge`: works on the sandbox's Vinted, and asks it first.
import { json } from 'node:stream/consumers';

const [, , VINTED_URL, VINTED_SELLER] = process.argv;
const command = await json(process.stdin);

async function vinted(method, path, body) {
  const response = await fetch(`${VINTED_URL}/vinted${path}`, {
    method,
    headers: { 'x-seller': VINTED_SELLER, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  process.stderr.write(`Vinted answered ${response.status}: ${text}`);
  // What may heal is told by the exit code (EX_TEMPFAIL).
  process.exit(response.status >= 500 ? 75 : 1);
}

async function findItem() {
  return (await vinted('GET', `/items?reference=${command.product_id}`)).items[0];
}

async function run() {
  if (command.type === 'upload_image') {
    const bytes = await (await fetch(command.image.url)).arrayBuffer();
    return { photo_id: (await vinted('POST', '/photos', { name: command.image.name, bytes: bytes.byteLength })).id };
  }
  const item = await findItem();
  if (command.type === 'create_listing') {
    const { title, description, price, id: reference } = command.product;
    const draft =
      item ?? (await vinted('POST', '/drafts', { reference, title, description, price, photo_ids: command.photo_ids }));
    return { draft_id: draft.id };
  }
  if (command.type === 'verify') return { listed: item?.listing_id === command.listing_id };
  const listed = item?.listing_id ? item : await vinted('POST', `/drafts/${command.draft_id}/publish`);
  return { listing_id: listed.listing_id, url: `${VINTED_URL}/items/${listed.listing_id}` };
}

process.stdout.write(JSON.stringify(await run()));
