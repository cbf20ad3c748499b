import { fileURLToPath } from 'node:url';
import { GIB, MIB } from '../contract/limits.ts';
import { blobSource } from './blob-source.ts';
import { MillraceClient, type MillraceOptions } from './millrace.ts';
import { openFile } from './node/file-source.ts';
import { findFiles } from './node/find-files.ts';
import { httpTransport } from './node/http-transport.ts';
import { fileStateStore } from './node/state-store.ts';

export { type DownloadOptions, downloadFile } from './node/download.ts';
export { fileStateStore } from './node/state-store.ts';
export * from './public.ts';

/** What can be uploaded from Node: a path, a `file:` URL, or bytes; `uploadMany` takes paths of folders, too. */
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
      findFiles: async (source) => {
        if (source instanceof URL) return findFiles(fileURLToPath(source));
        if (typeof source === 'string') return findFiles(source);
        const file = blobSource(source);
        return [{ path: file.name, sizeBytes: file.sizeBytes, open: async () => file }];
      },
      // A part in flight costs a MiB, whatever its size: this bounds what is to be sent again after a crash.
      limits: { maxConcurrency: 32, maxBytesInFlight: GIB, largePartBytes: 64 * MIB },
      transport: httpTransport(),
      state: options.state ?? fileStateStore(),
    });
  }
}
