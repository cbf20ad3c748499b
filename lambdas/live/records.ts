import type { TenantId } from '../../contract/common.ts';
import type { Scope } from '../../contract/keys.ts';
import type { Item, Key } from '../../platform/ports/table.ts';

/** A WebSocket that is open, as far as is known. */
export type ConnectionRecord = {
  readonly tenant_id: TenantId;
  readonly principal_id: string;
  readonly scopes: readonly Scope[];
  /** Epoch milliseconds: then it is closed, and its client comes again with its credential. */
  readonly until: number;
  readonly subscriptions: number;
};

/** Kept twice: by topic, for those who tell, and by connection, for its end. */
export type SubscriptionRecord = {
  readonly tenant_id: TenantId;
  readonly topic: string;
  readonly connection_id: string;
  readonly until: number;
};

const connectionPk = (connectionId: string) => `C#${connectionId}`;
export const connectionKey = (connectionId: string): Key => ({ pk: connectionPk(connectionId), sk: 'CONNECTION' });
export const ofConnectionKey = (connectionId: string, topic: string): Key => ({
  pk: connectionPk(connectionId),
  sk: `TOPIC#${topic}`,
});
export const topicPk = (tenantId: TenantId, topic: string) => `T#${tenantId}#S#${topic}`;
export const ofTopicKey = ({ tenant_id, topic, connection_id }: SubscriptionRecord): Key => ({
  pk: topicPk(tenant_id, topic),
  sk: connection_id,
});

export const asConnection = (item: Item) => item as unknown as ConnectionRecord;
export const asSubscription = (item: Item) => item as unknown as SubscriptionRecord;
