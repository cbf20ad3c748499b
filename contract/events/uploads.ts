import * as z from 'zod/mini';
import { FileId, UploadId } from '../common.ts';
import { event, logged } from '../event.ts';
import { UploadState } from '../uploads.ts';

function uploadEvent<const Name extends string, const State extends UploadState>(
  name: Name,
  state: State,
  meaning: string,
) {
  const data = {
    upload_id: UploadId,
    state: z.literal(state),
    previous: z.optional(UploadState),
    size_bytes: z.int(),
    file_id: z.optional(FileId),
    error: z.optional(z.object({ code: z.string(), message: z.string() })),
  };
  return event(`upload.${name}`, meaning, z.object(data));
}

export const uploadEvents = [
  uploadEvent('opened', 'open', 'The session accepts parts: it was created, or a completion was refused.'),
  uploadEvent('completing', 'completing', 'The file is being assembled from its parts.'),
  uploadEvent('completed', 'completed', 'The file is stored, and its checksum is verified.'),
  uploadEvent('rejected', 'rejected', 'The content is not what was declared; there is no file.'),
  uploadEvent('aborted', 'aborted', 'The session was aborted by its owner, and its parts are deleted.'),
  uploadEvent('expired', 'expired', 'The session was not completed in time, and its parts are deleted.'),
] as const;

/** An event of an upload session, without its cursor. */
export const UploadEvent = z.discriminatedUnion('type', uploadEvents);
export type UploadEvent = z.infer<typeof UploadEvent>;

export const LoggedUploadEvent = logged(UploadEvent);
