import { DomainError } from '../../contract/errors.ts';
import type { Scope } from '../../contract/keys.ts';
import { CLOSE_EXPIRED, CREDENTIAL_PROTOCOL } from '../../contract/live.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import type { Authenticate } from '../runtime/api.ts';
import type { LiveDeps } from './deps.ts';
import {
  asConnection,
  asSubscription,
  type ConnectionRecord,
  connectionKey,
  ofConnectionKey,
  ofTopicKey,
  type SubscriptionRecord,
} from './records.ts';

/** After so long a client comes again with its credential: for so long a revoked one may still be told something. */
const LIFETIME_MS = 15 * 60_000;
/** Rows of a connection whose end nobody noticed go so long after its time is over. */
const TTL_SECONDS = 3_600;
const MAX_SUBSCRIPTIONS = 100;
const PAGE = 100;

/**
 * Notes a connection of whom the credential among its subprotocols names; `UnauthenticatedError` or `ForbiddenError` if it
 * must not be opened. `protocols`: the header `Sec-WebSocket-Protocol`.
 */
export async function openConnection(
  { connections, clock }: Pick<LiveDeps, 'connections' | 'clock'>,
  authenticate: Authenticate,
  { connectionId, protocols = '' }: { connectionId: string; protocols: string | undefined },
): Promise<void> {
  const offered = protocols.split(',').map((protocol) => protocol.trim());
  const credential = offered.find((protocol) => protocol.startsWith(CREDENTIAL_PROTOCOL));
  if (!credential) {
    const how = `offer a second subprotocol, ${CREDENTIAL_PROTOCOL}<API key or JWT>`;
    throw new DomainError('UnauthenticatedError', `the connection has no credential: ${how}`);
  }
  const caller = await authenticate(`Bearer ${credential.slice(CREDENTIAL_PROTOCOL.length)}`);
  if (caller.root) throw new DomainError('ForbiddenError', 'the root secret cannot watch events; use an API key');
  const until = clock.now().getTime() + LIFETIME_MS;
  const connection: ConnectionRecord = {
    tenant_id: caller.tenantId,
    principal_id: caller.principalId,
    scopes: caller.scopes,
    until,
    subscriptions: 0,
  };
  await connections.write({
    op: 'put',
    item: { ...connectionKey(connectionId), ...connection, ttl: ttlAfter(until, TTL_SECONDS) },
  });
}

/** The connection, unless it is not known or its time is over: then it is closed. */
export async function useConnection(deps: LiveDeps, connectionId: string): Promise<ConnectionRecord | undefined> {
  const item = await deps.connections.get(connectionKey(connectionId));
  if (item && asConnection(item).until > deps.clock.now().getTime()) return asConnection(item);
  await expire(deps, connectionId);
  return undefined;
}

export async function expire(deps: LiveDeps, connectionId: string): Promise<void> {
  await deps.push.close(connectionId, CLOSE_EXPIRED);
  await forgetConnection(deps, connectionId);
}

/** Deletes all that is kept of a connection; what subscribes at the same time comes before that or fails. */
export async function forgetConnection(
  { connections }: Pick<LiveDeps, 'connections'>,
  connectionId: string,
): Promise<void> {
  await connections.write({ op: 'delete', key: connectionKey(connectionId) });
  for (;;) {
    const { items } = await connections.query({ ...prefixOf(connectionId), limit: PAGE });
    if (items.length === 0) return;
    for (const item of items) await forgetSubscription(connections, asSubscription(item));
  }
}

function prefixOf(connectionId: string) {
  const { pk, sk: prefix } = ofConnectionKey(connectionId, '');
  return { pk, prefix };
}

async function forgetSubscription(
  connections: LiveDeps['connections'],
  subscription: SubscriptionRecord,
): Promise<void> {
  const { connection_id, topic } = subscription;
  await connections.transact([
    { op: 'delete', key: ofTopicKey(subscription) },
    { op: 'delete', key: ofConnectionKey(connection_id, topic) },
  ]);
}

/** From then on the connection is told what happens. Again is fine. */
export async function addSubscription(
  { connections }: LiveDeps,
  { tenant_id, until }: ConnectionRecord,
  connectionId: string,
  topic: string,
): Promise<void> {
  const subscription: SubscriptionRecord = { tenant_id, topic, connection_id: connectionId, until };
  const row = { ...subscription, ttl: ttlAfter(until, TTL_SECONDS) };
  const result = await connections.transact([
    { op: 'put', item: { ...row, ...ofConnectionKey(connectionId, topic) }, unlessExists: true },
    { op: 'put', item: { ...row, ...ofTopicKey(subscription) } },
    {
      op: 'update',
      key: connectionKey(connectionId),
      if: { subscriptions: { lt: MAX_SUBSCRIPTIONS } },
      add: { subscriptions: 1 },
    },
  ]);
  if (result.ok || result.failed.some(({ index }) => index === 0)) return;
  const message = `a connection can have at most ${MAX_SUBSCRIPTIONS} subscriptions: open another one, or watch the batch or the tenant`;
  throw new DomainError('TooManyRequestsError', message);
}

export async function removeSubscription(
  { connections }: LiveDeps,
  { tenant_id, until }: ConnectionRecord,
  connectionId: string,
  topic: string,
): Promise<void> {
  await connections.transact([
    { op: 'delete', key: ofConnectionKey(connectionId, topic), if: { topic } },
    { op: 'delete', key: ofTopicKey({ tenant_id, topic, connection_id: connectionId, until }) },
    { op: 'update', key: connectionKey(connectionId), add: { subscriptions: -1 } },
  ]);
}

export function checkScopes({ scopes }: ConnectionRecord, needed: readonly Scope[]): void {
  const lacking = needed.find((scope) => !scopes.includes(scope));
  if (lacking) throw new DomainError('ForbiddenError', `the credential lacks the scope ${lacking}`);
}
