import { DEFAULT_URL_SECONDS } from '../../contract/limits.ts';
import type { Handlers } from '../runtime/api.ts';
import { listNewest } from '../runtime/listing.ts';
import { abortUpload } from './abort-upload.ts';
import { completeUpload } from './complete-upload.ts';
import type { UploadsApiDeps } from './deps.ts';
import { listUploadEvents } from './events.ts';
import { deleteFile, getFile, isRestorable, restoreFile } from './files.ts';
import { findUpload } from './find-upload.ts';
import { getUpload } from './get-upload.ts';
import { listIdle, orphanedBy } from './idle.ts';
import { initUpload } from './init-upload.ts';
import {
  asFile,
  asUpload,
  deletedListPk,
  type FileRecord,
  fileListPk,
  isForgotten,
  type UploadRecord,
  uploadListPk,
} from './records.ts';
import { redirectPart } from './redirect-part.ts';
import { signParts } from './sign-parts.ts';
import { readUsage } from './usage.ts';
import { fileView, idleView, uploadView, usageView } from './views.ts';

export type { UploadsApiDeps };

export function createUploadsHandlers(deps: UploadsApiDeps): Handlers<'uploads'> {
  return {
    async initUpload({ caller: { tenantId }, headers, body }) {
      const { created, ...answer } = await initUpload(deps, {
        tenantId,
        body,
        idempotencyKey: headers['idempotency-key'],
      });
      return { status: created ? 201 : 200, body: answer };
    },

    async signParts({ caller, params, body }) {
      return { status: 200, body: { parts: await signParts(deps, caller.tenantId, params.upload_id, body) } };
    },

    async redirectPart({ caller: { tenantId }, params, query, hasBodyBytes }) {
      const { upload_id: uploadId, part_number: partNumber } = params;
      const part = { tenantId, uploadId, partNumber, checksum: query.checksum_crc64nvme, hasBodyBytes };
      return { status: 307, headers: { location: await redirectPart(deps, part) } };
    },

    async getUpload({ caller, params, query }) {
      const includeParts = query.include === 'parts';
      return { status: 200, body: await getUpload(deps, caller.tenantId, params.upload_id, { includeParts }) };
    },

    async completeUpload({ caller, params, body }) {
      const { upload, file } = await completeUpload(deps, caller.tenantId, params.upload_id, body);
      if (!file) return { status: 202, body: { upload: uploadView(upload) } };
      return { status: 200, body: { upload: uploadView(upload), file: fileView(file) } };
    },

    async abortUpload({ caller, params }) {
      return { status: 200, body: uploadView(await abortUpload(deps, caller.tenantId, params.upload_id)) };
    },

    async listUploadEvents({ caller, params, query, signal }) {
      const upload = await findUpload(deps, caller.tenantId, params.upload_id);
      return { status: 200, body: await listUploadEvents(deps, upload, query, signal) };
    },

    async listUploads({ caller, query }) {
      if (query.idle_seconds !== undefined) {
        const { items, next } = await listIdle(deps, caller.tenantId, { ...query, idleSeconds: query.idle_seconds });
        return { status: 200, body: { items: items.map(idleView), ...next, orphaned: orphanedBy(items) } };
      }
      const now = deps.clock.now();
      const matches = (upload: UploadRecord) =>
        !isForgotten(upload, now) && (query.state === undefined || upload.state === query.state);
      const list = { pk: uploadListPk(caller.tenantId), asked: query, parse: asUpload };
      const { items, next } = await listNewest(deps.table, list, matches);
      return { status: 200, body: { items: items.map(uploadView), ...next } };
    },

    async listFiles({ caller, query }) {
      const pk = query.deleted ? deletedListPk(caller.tenantId) : fileListPk(caller.tenantId);
      const now = deps.clock.now();
      const matches = (file: FileRecord) => !query.deleted || isRestorable(file, now);
      const { items, next } = await listNewest(deps.table, { pk, asked: query, parse: asFile }, matches);
      return { status: 200, body: { items: items.map(fileView), ...next } };
    },

    async getFile({ caller, params }) {
      return { status: 200, body: fileView(await getFile(deps, caller.tenantId, params.file_id)) };
    },

    async downloadFile({ caller, params }) {
      const { object_key: key, name: fileName } = await getFile(deps, caller.tenantId, params.file_id);
      const { url, expiresAt } = await deps.objects.signGet({ key, fileName, expiresInSeconds: DEFAULT_URL_SECONDS });
      return { status: 200, body: { url, expires_at: expiresAt.toISOString() } };
    },

    async deleteFile({ caller, params, query }) {
      await deleteFile(deps, caller.tenantId, params.file_id, { permanent: query.permanent === 'true' });
      return { status: 204 };
    },

    async restoreFile({ caller, params }) {
      return { status: 200, body: fileView(await restoreFile(deps, caller.tenantId, params.file_id)) };
    },

    async getUsage({ caller }) {
      return { status: 200, body: usageView(await readUsage(deps, caller.tenantId)) };
    },
  };
}
