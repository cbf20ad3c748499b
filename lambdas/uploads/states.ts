import type { TenantId, UploadId } from '../../contract/common.ts';
import type { UploadState } from '../../contract/uploads.ts';
import type { Table } from '../../platform/ports/table.ts';
import { asUpload, uploadListPk } from './records.ts';

/** The states of a tenant's newest sessions; `truncated`: there are older ones. */
export async function readUploadStates(
  table: Table,
  tenantId: TenantId,
  { limit }: { limit: number },
): Promise<{ items: { upload_id: UploadId; state: UploadState; name: string }[]; truncated: boolean }> {
  const page = await table.query({ pk: uploadListPk(tenantId), index: 'g1', limit, descending: true });
  const items = page.items.map(asUpload).map(({ upload_id, state, name }) => ({ upload_id, state, name }));
  return { items, truncated: page.cursor !== undefined };
}
