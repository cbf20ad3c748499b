import { fileURLToPath } from 'node:url';
import { blobSource } from './blob-source.ts';
import { MillraceClient, type MillraceOptions } from './millrace.ts';
import { openFile } from './node/file-source.ts';
import { httpTransport } from './node/http-transport.ts';
import { fileStateStore } from './node/state-store.ts';

export { type DownloadOptions, downloadFile } from './node/download.ts';
export { fileStateStore } from './node/state-store.ts';
export * from './public.ts';

/** What can be uploaded from Node: a path, a `file:` URL, or bytes. */
export type UploadSource = string | URL | Blob | Uint8Array<ArrayBuffer>;

/**
 * A client of one Millrace deployment, for Node.
 *
 * @example
 * const millrace = new Millrace({ url: 'https://example.com', apiKey: process.env.MILLRACE_API_KEY });
 * const file = await millrace.uploads.upload('rows.csv');
 * const job = await millrace.jobs.run('inference', { file_id: file.id });
 */
export class Millrace extends MillraceClient<UploadSource> {
  constructor(options: MillraceOptions) {
    super(options, {
      openSource: async (source) => {
        if (source instanceof URL) return openFile(fileURLToPath(source));
        return typeof source === 'string' ? openFile(source) : blobSource(source);
      },
      transport: httpTransport(),
      state: options.state ?? fileStateStore(),
    });
  }
}
