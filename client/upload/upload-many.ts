import type { FoundFile } from '../ports.ts';
import type { File } from '../types.ts';

/** How the upload of one file of many has ended. `path` is as the caller named it, or its folder. */
export type UploadResult =
  | {
      readonly path: string;
      readonly state: 'completed';
      readonly file: File;
      /** An earlier call, which was stopped, had uploaded it: nothing was sent. */
      readonly skipped: boolean;
    }
  /** `error` is a `MillraceError` unless it is a defect. */
  | { readonly path: string; readonly state: 'failed'; readonly error: Error };

/** Files in progress at the same time: enough that small ones, which mostly wait for answers, keep the network busy. */
const FILES_AT_ONCE = 8;

/**
 * Runs `upload` for every file and answers with what it answers, in the order of the files. The largest have one place, the
 * smallest all others: small ones don't wait for large ones, and bytes flow while small ones wait for answers.
 */
export async function eachFile<Result>(
  files: readonly FoundFile[],
  upload: (file: FoundFile) => Promise<Result>,
): Promise<Result[]> {
  const results = new Map<FoundFile, Result>();
  const bySize = [...files].sort((a, b) => a.sizeBytes - b.sizeBytes);
  const work = async (take: () => FoundFile | undefined) => {
    for (let file = take(); file; file = take()) results.set(file, await upload(file));
  };
  const places = Array.from({ length: FILES_AT_ONCE - 1 }, () => work(() => bySize.shift()));
  await Promise.all([work(() => bySize.pop()), ...places]);
  return files.map((file) => results.get(file) as Result);
}
