import { abortedError, MillraceError, networkError } from '../errors.ts';
import type { Transport } from '../ports.ts';

/** Set by the browser itself from the Blob and the URL; scripts may not set them. */
const BROWSER_HEADERS = ['content-length', 'host'];

/** Sends parts by XMLHttpRequest: fetch tells no upload progress. */
export const xhrTransport: Transport = {
  putPart: ({ url, headers, body, signal, stallSeconds, onBytes }) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortedError(signal));
      if (!(body instanceof Blob)) throw new TypeError('a browser sends Blobs');
      const request = new XMLHttpRequest();
      let stalled: ReturnType<typeof setTimeout>;
      const moving = () => {
        clearTimeout(stalled);
        stalled = setTimeout(() => {
          settle(() => reject(new MillraceError('NetworkError', `no bytes moved for ${stallSeconds} s`)));
          request.abort();
        }, stallSeconds * 1_000);
      };
      const stop = () => {
        settle(() => reject(abortedError(signal)));
        request.abort();
      };
      const settle = (how: () => void) => {
        clearTimeout(stalled);
        signal.removeEventListener('abort', stop);
        how();
      };
      signal.addEventListener('abort', stop, { once: true });
      request.upload.onprogress = (event) => {
        moving();
        onBytes(event.loaded);
      };
      request.onload = () =>
        settle(() =>
          resolve({
            status: request.status,
            text: request.responseText,
            // Readable only where the store's CORS rules expose it; asking for a hidden header is an error in the console.
            retryAfter: request.getAllResponseHeaders().includes('retry-after')
              ? request.getResponseHeader('retry-after')
              : null,
          }),
        );
      request.onerror = () =>
        settle(() => reject(networkError(`cannot send to ${new URL(url).host}`, 'the connection failed')));
      request.open('PUT', url);
      for (const [name, value] of Object.entries(headers)) {
        if (!BROWSER_HEADERS.includes(name.toLowerCase())) request.setRequestHeader(name, value);
      }
      moving();
      request.send(body);
    }),
};
