import * as z from 'zod/mini';
import { Crc64Nvme, EventsQuery, FileId, PageQuery, pageOf, UploadId } from '../common.ts';
import { context } from '../context.ts';
import { LoggedUploadEvent } from '../events/uploads.ts';
import {
  CompleteUpload,
  Download,
  File,
  InitUpload,
  ListedUpload,
  Orphaned,
  SignedPart,
  SignParts,
  Upload,
  UploadState,
  UploadWithParts,
  Usage,
} from '../uploads.ts';
import { idempotent, route } from './route.ts';

const uploadParams = z.object({ upload_id: UploadId });
const fileParams = z.object({ file_id: FileId });
const ListUploadsQuery = z
  .extend(PageQuery, {
    state: z.optional(UploadState),
    /** Only sessions that no part has reached for this long; needs `state=open`. */
    idle_seconds: z.optional(z.coerce.number().check(z.int(), z.minimum(1))),
  })
  .check(
    z.refine(({ state, idle_seconds: idle }) => idle === undefined || state === 'open', {
      path: ['idle_seconds'],
      error: 'requires state=open',
    }),
  );
const ListFilesQuery = z.extend(PageQuery, { deleted: z.optional(z.literal('true')) });

/** Upload sessions and files. */
const uploadsRoutes = {
  initUpload: route({
    method: 'POST',
    path: '/uploads/init',
    summary: 'Open an upload session and sign its first parts',
    auth: 'uploads:write',
    headers: idempotent,
    body: InitUpload,
    responses: {
      201: z.object({ upload: UploadWithParts, parts: z.array(SignedPart) }),
      200: z.object({ upload: UploadWithParts, parts: z.array(SignedPart) }),
    },
    errors: [
      'EmptyFileError',
      'FileTooLargeError',
      'InvalidPartIndexError',
      'QuotaExceededError',
      'IdempotencyConflictError',
    ],
  }),
  signParts: route({
    method: 'POST',
    path: '/uploads/{upload_id}/parts',
    summary: 'Sign the URLs of up to 1,000 parts',
    auth: 'uploads:write',
    params: uploadParams,
    body: SignParts,
    responses: { 200: z.object({ parts: z.array(SignedPart) }) },
    errors: ['UploadNotFoundError', 'UploadNotOpenError', 'InvalidPartIndexError'],
  }),
  redirectPart: route({
    method: 'PUT',
    path: '/uploads/{upload_id}/part/{part_number}',
    summary: "Redirect to a part's presigned URL, which takes the bytes",
    auth: 'uploads:write',
    // The part number is checked by the use case, which knows how many parts there are.
    params: z.extend(uploadParams, { part_number: z.string() }),
    query: z.object({ checksum_crc64nvme: z.optional(Crc64Nvme) }),
    responses: { 307: null },
    errors: ['UploadNotFoundError', 'UploadNotOpenError', 'InvalidPartIndexError', 'BodyNotAcceptedError'],
  }),
  getUpload: route({
    method: 'GET',
    path: '/uploads/{upload_id}',
    summary: 'Get the state of a session and what has arrived',
    auth: 'uploads:read',
    params: uploadParams,
    query: z.object({ include: z.optional(z.literal('parts')) }),
    responses: { 200: UploadWithParts },
    errors: ['UploadNotFoundError'],
  }),
  completeUpload: route({
    method: 'POST',
    path: '/uploads/{upload_id}/complete',
    summary: 'Verify that every part has arrived and create the file',
    auth: 'uploads:write',
    params: uploadParams,
    body: CompleteUpload,
    responses: { 200: z.object({ upload: Upload, file: File }), 202: z.object({ upload: Upload }) },
    errors: [
      'UploadNotFoundError',
      'UploadNotOpenError',
      'PartsMissingError',
      'PartChecksumMismatchError',
      'ChecksumMismatchError',
      'ContentMismatchError',
      'InvalidPartIndexError',
    ],
  }),
  abortUpload: route({
    method: 'DELETE',
    path: '/uploads/{upload_id}',
    summary: 'Abort a session and delete its parts',
    auth: 'uploads:write',
    params: uploadParams,
    responses: { 200: Upload },
    errors: ['UploadNotFoundError', 'UploadNotOpenError'],
  }),
  listUploadEvents: route({
    method: 'GET',
    path: '/uploads/{upload_id}/events',
    summary: "List a session's events after a cursor; can wait for one",
    auth: 'uploads:read',
    params: uploadParams,
    query: EventsQuery,
    responses: { 200: z.object({ items: z.array(LoggedUploadEvent), next_cursor: z.optional(z.string()) }) },
    errors: ['UploadNotFoundError'],
  }),
  listUploads: route({
    method: 'GET',
    path: '/uploads',
    summary: 'List sessions, newest first; with `idle_seconds`, open ones that have received no part for that long',
    auth: 'uploads:read',
    query: ListUploadsQuery,
    responses: { 200: z.extend(pageOf(ListedUpload), { orphaned: z.optional(Orphaned) }) },
    errors: ['InvalidCursorError'],
  }),
  listFiles: route({
    method: 'GET',
    path: '/files',
    summary: 'List files, newest first, or deleted files that can be restored',
    auth: 'uploads:read',
    query: ListFilesQuery,
    responses: { 200: pageOf(File) },
    errors: ['InvalidCursorError'],
  }),
  getFile: route({
    method: 'GET',
    path: '/files/{file_id}',
    summary: 'Get a file and its receipt',
    auth: 'uploads:read',
    params: fileParams,
    responses: { 200: File },
    errors: ['FileNotFoundError'],
  }),
  downloadFile: route({
    method: 'GET',
    path: '/files/{file_id}/download',
    summary: 'Get a presigned download URL for a file',
    auth: 'uploads:read',
    params: fileParams,
    responses: { 200: Download },
    errors: ['FileNotFoundError'],
  }),
  deleteFile: route({
    method: 'DELETE',
    path: '/files/{file_id}',
    summary: 'Delete a file; it can be restored for some days, unless `permanent` is set',
    auth: 'uploads:write',
    params: fileParams,
    query: z.object({ permanent: z.optional(z.literal('true')) }),
    responses: { 204: null },
    errors: ['FileNotFoundError'],
  }),
  restoreFile: route({
    method: 'POST',
    path: '/files/{file_id}/restore',
    summary: 'Restore a deleted file',
    auth: 'uploads:write',
    params: fileParams,
    responses: { 200: File },
    errors: ['FileNotFoundError'],
  }),
  getUsage: route({
    method: 'GET',
    path: '/usage',
    summary: 'Get quotas and usage of the tenant',
    auth: 'uploads:read',
    responses: { 200: Usage },
    errors: [],
  }),
} as const;

export const uploads = context({
  name: 'uploads',
  description: 'Upload sessions and files. Bytes go straight to the object store through presigned URLs.',
  routes: uploadsRoutes,
  api: { memoryMiB: 1_769 },
  table: {},
  feed: { description: 'Records the events of uploads, publishes them on the bus', prefixes: ['UPLOAD'] },
  schedules: {
    sweep: {
      description: 'Expires sessions, finishes what is completing, aborts orphaned uploads',
      everySeconds: 60,
      timeoutSeconds: 300,
    },
  },
  settings: ['quotas', 'deletedFileDays'],
});
