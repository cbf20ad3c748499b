import type { JobId, TenantId } from '../../contract/common.ts';
import type { FileRef } from '../../contract/jobs.ts';
import {
  type BridgeCommandType,
  type CommandId,
  MarketplaceAccount,
  type MarketplaceAccountId,
  Product,
  type ProductId,
} from '../../contract/publishing.ts';
import type { Item, Key, Value } from '../../platform/ports/table.ts';
import { upgradeRow } from './upgrade-row.ts';

export const productKey = (tenantId: TenantId, productId: string): Key => ({
  pk: `T#${tenantId}#P#${productId}`,
  sk: 'PRODUCT',
});
export const productListPk = (tenantId: TenantId) => `T#${tenantId}#PRODUCTS`;

export const accountKey = (tenantId: TenantId, accountId: string): Key => ({
  pk: `T#${tenantId}#A#${accountId}`,
  sk: 'ACCOUNT',
});
export const accountListPk = (tenantId: TenantId) => `T#${tenantId}#ACCOUNTS`;

/** A product on an account. */
export interface Listing {
  readonly tenantId: TenantId;
  readonly accountId: MarketplaceAccountId;
  readonly productId: ProductId;
}

/** Who works on it. */
export const listingKey = ({ tenantId, accountId, productId }: Listing): Key => ({
  pk: accountKey(tenantId, accountId).pk,
  sk: `LISTING#${productId}`,
});

/** Where an account's credentials are. */
export const secretName = (tenantId: TenantId, accountId: MarketplaceAccountId) =>
  `marketplaces/${tenantId}/${accountId}`;

/** What is kept is what the API shows, beside its keys. */
export const asProduct = (item: Item): Product => Product.parse(item);
export const asAccount = (item: Item): MarketplaceAccount => MarketplaceAccount.parse(item);

/** A command for a bridge, as it is kept. */
export type CommandRecord = {
  readonly command_id: CommandId;
  readonly job_id: JobId;
  readonly account_id: MarketplaceAccountId;
  readonly product_id: ProductId;
  readonly type: BridgeCommandType;
  /** What the API shows of it, but for an image's URL. */
  readonly payload: Readonly<Record<string, Value>>;
  readonly image?: FileRef;
  readonly state: 'open' | 'done' | 'failed';
  /** The job's attempt that it was sent by last, and when; or, later, when a bridge was heard of. */
  readonly attempt: number;
  readonly sent_at: string;
  /** When that attempt sent it first. */
  readonly begun_at?: string;
  readonly created_at: string;
  readonly result?: Readonly<Record<string, Value>>;
  readonly error?: { readonly message: string; readonly retryable: boolean };
  /** Of the state that waits for the answer, and its place in the queue; missing while none waits. */
  readonly token?: string;
  readonly cursor?: string;
};

export const commandsPk = (tenantId: TenantId, jobId: string) => `T#${tenantId}#J#${jobId}`;
export const COMMAND_PREFIX = 'COMMAND#';

export const commandKey = (tenantId: TenantId, commandId: CommandId): Key => ({
  pk: commandsPk(tenantId, jobIdOf(commandId)),
  sk: `${COMMAND_PREFIX}${commandId}`,
});

/** `task`: the task's id in its job. */
export const commandIdOf = (jobId: JobId, task: string) => `cmd_${jobId.slice('job_'.length)}_${task}` as CommandId;
const jobIdOf = (commandId: CommandId) => `job_${commandId.slice('cmd_'.length, 'cmd_'.length + 26)}`;

export const asCommand = (item: Item) => upgradeRow(item) as unknown as CommandRecord;

/** Commands that a state waits for, in the order in which they are to be done. */
export const queuePk = (tenantId: TenantId) => `T#${tenantId}#BRIDGE`;
