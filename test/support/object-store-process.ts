import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createTestObjectStore } from './object-stores.ts';

// An object store in a process of its own, to be killed: answers each line on its standard input, a list of parts to
// sign, with a line of their URLs; meanwhile it puts small objects and names each on a line once it is stored.
const folder = process.argv[2] as string;
const { store } = await createTestObjectStore({ folder });
const key = 'uploads/one';
const { multipartId } = await store.createMultipart({ key, contentType: 'text/plain', checksums: true });

createInterface({ input: process.stdin }).on('line', async (line) => {
  const signed = await store.signParts({ key, multipartId, expiresInSeconds: 600, parts: JSON.parse(line) });
  process.stdout.write(`${JSON.stringify({ signed, multipartId })}\n`);
});

for (let i = 0; ; i++) {
  await store.put({ key: `objects/${i}`, body: Buffer.alloc(20_000, i), contentType: 'text/plain' });
  await store.delete(`objects/${i - 10}`);
  if (!process.stdout.write(`${JSON.stringify({ put: i })}\n`)) await once(process.stdout, 'drain');
}
