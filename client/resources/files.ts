import type { Api } from '../api.ts';
import type { Download, File, ListFiles, Page, Usage } from '../types.ts';

/** Completed uploads. */
export class Files {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  list(query: ListFiles = {}): Promise<Page<File>> {
    return this.#api.call('listFiles', { query });
  }

  /** A file and its receipt; `FileNotFoundError`. */
  get(fileId: string): Promise<File> {
    return this.#api.call('getFile', { params: { file_id: fileId } });
  }

  /** A presigned URL of the bytes: no credential is needed with it, and it ends at `expires_at`. */
  downloadUrl(fileId: string): Promise<Download> {
    return this.#api.call('downloadFile', { params: { file_id: fileId } });
  }

  /** A deleted file can be restored for some days, unless it is deleted for good: `permanent`. */
  async delete(fileId: string, { permanent = false }: { permanent?: boolean } = {}): Promise<void> {
    const query = permanent ? { permanent: 'true' as const } : {};
    await this.#api.call('deleteFile', { params: { file_id: fileId }, query }, { doneCode: 'FileNotFoundError' });
  }

  /** Brings back a deleted file; fine if it isn't deleted. `FileNotFoundError` when its days are over. */
  restore(fileId: string): Promise<File> {
    return this.#api.call('restoreFile', { params: { file_id: fileId } });
  }

  /** What the tenant uses of its quotas for files and upload sessions. */
  usage(): Promise<Usage> {
    return this.#api.call('getUsage', {});
  }
}
