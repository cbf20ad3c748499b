import { type CreateKey, paginate } from 'millrace';
import { EXIT, type ExitCode } from '../exit.ts';
import { table } from '../output.ts';
import type { Session } from '../session.ts';
import { collect } from './collect.ts';

export interface CreateKeyFlags {
  readonly name: string;
  readonly tenant?: string;
  readonly role?: CreateKey['role'];
  readonly scope?: string[];
  readonly expiresInDays?: number;
}

/** The secret is all that goes to stdout, so that it can be kept in a variable. */
export async function createKey({ output, connect }: Session, flags: CreateKeyFlags): Promise<ExitCode> {
  const { name, tenant, role, scope, expiresInDays } = flags;
  const key = await (await connect()).keys.create({
    name,
    ...(tenant && { tenant_id: tenant }),
    ...(role && { role }),
    // The server knows the scopes and names them when one is wrong.
    ...(scope && { scopes: scope as NonNullable<CreateKey['scopes']> }),
    ...(expiresInDays !== undefined && { expires_in_days: expiresInDays }),
  });
  output.note(`Created ${key.id} for tenant ${key.tenant_id}. The key is shown only once:`);
  output.result({ type: 'key', key }, key.secret);
  return EXIT.ok;
}

export async function listKeys({ output, connect }: Session, { tenant }: { tenant?: string }): Promise<ExitCode> {
  const millrace = await connect();
  const query = tenant ? { tenant_id: tenant } : {};
  const keys = await collect(paginate((cursor) => millrace.keys.list({ ...query, cursor })));
  const rows = keys.map((key) => [key.id, key.role, key.expires_at ?? 'never', key.last_used_at ?? 'never', key.name]);
  output.list('key', keys, table(['KEY', 'ROLE', 'EXPIRES', 'LAST USED', 'NAME'], rows));
  return EXIT.ok;
}

export async function revokeKey(
  { output, connect }: Session,
  keyId: string,
  { tenant }: { tenant?: string },
): Promise<ExitCode> {
  await (await connect()).keys.revoke(keyId, tenant ? { tenant_id: tenant } : {});
  output.result({ type: 'revoked', key_id: keyId }, `${keyId} is revoked and stops working within 60 seconds`);
  return EXIT.ok;
}
