import type { Item } from '../../platform/ports/table.ts';

const PK = /^T#([^#]+)#([JU])#([^#]+)$/;

/**
 * The event of a row that version 0.1 has written: it held the fields of `data` themselves, one type for all changes of
 * state, and neither tenant nor id. Such rows expire 7 days after the upgrade.
 */
export function eventOfVersion1({ pk, sk: _, ttl: __, follows: ___, type, time, ...fields }: Item, cursor: string) {
  const [, tenantId = '', kind, subject = ''] = PK.exec(pk) ?? [];
  const common = { time, tenant_id: tenantId };
  const state = String(fields.state);
  if (kind === 'U') {
    const name = state === 'open' ? 'opened' : state;
    // The size was not stored.
    const data = { upload_id: subject, size_bytes: 0, ...fields };
    return { ...common, id: `${subject}-${Number(cursor)}-${name}`, type: `upload.${name}`, data };
  }
  if (type === 'job.progress') {
    return { ...common, id: `${subject}-${cursor}`, type, data: { job_id: subject, ...fields } };
  }
  // The workflow was not stored.
  const data = { job_id: subject, workflow: '', ...fields };
  return { ...common, id: `${subject}-${String(fields.attempt)}-${state}`, type: `job.${state}`, data };
}
