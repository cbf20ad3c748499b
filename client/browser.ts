import { MIB } from '../contract/limits.ts';
import { findFiles, openSource, type UploadSource } from './browser/find-files.ts';
import { indexedDbStateStore } from './browser/indexed-db-state.ts';
import { offline } from './browser/offline.ts';
import { xhrTransport } from './browser/xhr-transport.ts';
import { MillraceClient, type MillraceOptions } from './millrace.ts';
import type { TransferLimits } from './ports.ts';

export type { UploadSource } from './browser/find-files.ts';
export * from './public.ts';

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
      openSource,
      findFiles,
      limits: isSmall() ? SMALL : LARGE,
      offline,
      transport: xhrTransport,
      state: options.state ?? indexedDbStateStore(),
    });
  }
}

/** Browsers open 6 connections to a host over HTTP/1.1, which is what S3 speaks: one stays free for other calls. */
const LARGE: TransferLimits = { maxConcurrency: 5, maxBytesInFlight: 256 * MIB, largePartBytes: 32 * MIB };
const SMALL: TransferLimits = { maxConcurrency: 5, maxBytesInFlight: 64 * MIB, largePartBytes: 16 * MIB };

/** A phone, or a device with at most 2 GiB; not every browser tells. */
function isSmall(): boolean {
  const { userAgentData, deviceMemory = 8 } = navigator as Navigator & {
    readonly userAgentData?: { readonly mobile: boolean };
    readonly deviceMemory?: number;
  };
  return (userAgentData?.mobile ?? /Mobi/.test(navigator.userAgent)) || deviceMemory <= 2;
}
