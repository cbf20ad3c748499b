import { expect, it } from 'vitest';
import { httpTransport } from '../../client/node/http-transport.ts';
import { mayRetry } from '../../client/retry.ts';

it('U10 takes a name that does not resolve for a fault of the network, which may heal', async () => {
  const sent = httpTransport().putPart({
    url: 'http://nowhere.invalid/part',
    headers: {},
    body: new Blob(['x']),
    sizeBytes: 1,
    signal: new AbortController().signal,
    stallSeconds: 10,
    onBytes: () => undefined,
  });
  const error: unknown = await sent.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'NetworkError' });
  expect(mayRetry(error)).toBe(true);
});
