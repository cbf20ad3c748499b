import { blobSource } from './blob-source.ts';
import { xhrTransport } from './browser/xhr-transport.ts';
import { memoryStateStore } from './memory-state.ts';
import { MillraceClient, type MillraceOptions } from './millrace.ts';

export * from './public.ts';

/** What can be uploaded in a browser. */
export type UploadSource = Blob | Uint8Array<ArrayBuffer>;

/**
 * A client of one Millrace deployment, for browsers.
 *
 * @example
 * const millrace = new Millrace({ url: 'https://example.com', token: () => session.getToken() });
 * await millrace.uploads.upload(input.files[0], { onProgress: (p) => (bar.value = p.percent) });
 */
export class Millrace extends MillraceClient<UploadSource> {
  constructor(options: MillraceOptions) {
    super(options, {
      openSource: async (source) => blobSource(source),
      transport: xhrTransport,
      state: options.state ?? memoryStateStore(),
    });
  }
}
