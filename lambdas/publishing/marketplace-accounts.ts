import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import {
  type CreateMarketplaceAccount,
  MarketplaceAccount,
  MarketplaceAccountId,
  type OAuthCredentials,
} from '../../contract/publishing.ts';
import type { Item, Table } from '../../platform/ports/table.ts';
import { validationError } from '../runtime/validation.ts';
import type { PublishingDeps } from './deps.ts';
import { accountKey, accountListPk, asAccount, secretName } from './records.ts';

export async function createMarketplaceAccount(
  { table, secrets, clock }: PublishingDeps,
  tenantId: TenantId,
  body: CreateMarketplaceAccount,
): Promise<MarketplaceAccount> {
  const id = MarketplaceAccountId.parse(`macc_${clock.newId()}`);
  // Its schema has no credentials, and drops them.
  const account = MarketplaceAccount.parse({ ...body, id, created_at: clock.now().toISOString() });
  if ('credentials' in body) await secrets.put(secretName(tenantId, id), JSON.stringify(body.credentials));
  // The commit point. A process that dies before it leaves a secret that nobody knows of.
  const item = { ...accountKey(tenantId, id), g1pk: accountListPk(tenantId), g1sk: id, ...account } as unknown as Item;
  await table.write({ op: 'put', item });
  return account;
}

/** `MarketplaceAccountNotFoundError` for another tenant's account as for an unknown one. */
export async function getMarketplaceAccount(
  { table }: { table: Table },
  tenantId: TenantId,
  accountId: MarketplaceAccountId,
): Promise<MarketplaceAccount> {
  const item = await table.get(accountKey(tenantId, accountId));
  if (!item)
    throw new DomainError('MarketplaceAccountNotFoundError', `marketplace account ${accountId} does not exist`);
  return asAccount(item);
}

export async function renewMarketplaceCredentials(
  deps: PublishingDeps,
  tenantId: TenantId,
  accountId: MarketplaceAccountId,
  credentials: OAuthCredentials,
): Promise<void> {
  const { marketplace } = await getMarketplaceAccount(deps, tenantId, accountId);
  if (marketplace === 'vinted')
    throw validationError([
      { field: 'credentials', problem: 'must be absent: the bridge of a Vinted account keeps the credentials' },
    ]);
  await deps.secrets.put(secretName(tenantId, accountId), JSON.stringify(credentials));
}

/** The credentials first: a repeat finds an account whose deletion was cut off. */
export async function deleteMarketplaceAccount(
  deps: PublishingDeps,
  tenantId: TenantId,
  accountId: MarketplaceAccountId,
): Promise<void> {
  await getMarketplaceAccount(deps, tenantId, accountId);
  await deps.secrets.delete(secretName(tenantId, accountId));
  await deps.table.write({ op: 'delete', key: accountKey(tenantId, accountId) });
}
