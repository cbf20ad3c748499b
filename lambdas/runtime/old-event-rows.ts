import type { Item, Value } from '../../platform/ports/table.ts';

/** How the sort keys of events begin. */
export const EVENT = 'EVENT#';
const PK = /^T#([^#]+)#([JU])#([^#]+)$/;

/** The row of an event as it is stored now. A row of data version 1 is brought into that form, any other returned as it is. */
export function upgradeEventRow(item: Item): Item {
  if (item.data !== undefined) return item;
  const { pk, sk, ttl, follows, ...fields } = item;
  const event = eventOfVersion1(pk, sk.slice(EVENT.length), fields);
  return { pk, sk, ...event, ...(follows !== undefined && { follows }), ...(ttl !== undefined && { ttl }) } as Item;
}

/**
 * Rows of data version 1 held the fields of `data` themselves, one type for all changes of state, and neither tenant nor id.
 * The last of them expires 7 days after the upgrade.
 */
function eventOfVersion1(pk: string, cursor: string, { type, time, ...fields }: { readonly [name: string]: Value }) {
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
