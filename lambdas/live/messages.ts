import { DomainError } from '../../contract/errors.ts';
import { ClientMessage, type ServerMessage, type Topic } from '../../contract/live.ts';
import { problemsOf, validationError } from '../runtime/validation.ts';
import { addSubscription, checkScopes, forgetConnection, removeSubscription, useConnection } from './connections.ts';
import type { SocketDeps } from './deps.ts';
import type { ConnectionRecord } from './records.ts';
import { inMessages, say } from './say.ts';
import { scopesOf, sourceOf } from './topics.ts';

/** Does what a client says over its connection; what it gets wrong is told it, and the connection stays. */
export async function handleMessage(deps: SocketDeps, connectionId: string, text: string): Promise<void> {
  const tell = async (message: ServerMessage) => {
    if (!(await deps.push.send(connectionId, say(message)))) throw new Gone();
  };
  let topic: string | undefined;
  try {
    const message = parse(text);
    // First, so that whatever fails from here on is told of its topic: its watcher goes on by other means.
    if (message.type !== 'ping') topic = message.topic;
    const connection = await useConnection(deps, connectionId);
    if (!connection) return;
    if (message.type === 'ping') return await tell({ type: 'pong' });
    if (message.type === 'unsubscribe') {
      await removeSubscription(deps, connection, connectionId, message.topic);
      return await tell({ type: 'unsubscribed', topic: message.topic });
    }
    await subscribe(deps, connection, { connectionId, topic: message.topic, after: message.after, tell });
  } catch (error) {
    if (error instanceof Gone) return forgetConnection(deps, connectionId);
    const known = error instanceof DomainError ? error : new DomainError('InternalError', 'internal error');
    if (known !== error) deps.log.error('a message could not be handled', { error });
    const about = topic === undefined ? {} : { topic };
    await tell({ type: 'error', ...about, error: known.code, message: known.message }).catch(() => undefined);
  }
}

class Gone extends Error {}

function parse(text: string): ReturnType<typeof ClientMessage.parse> {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    throw validationError([{ field: 'message', problem: 'must be JSON' }]);
  }
  const parsed = ClientMessage.safeParse(message);
  if (!parsed.success) throw validationError(problemsOf(parsed.error, 'message'));
  return parsed.data;
}

/**
 * Tells what there is and then what follows: the subscription is kept before the first read, so that an event is read, or
 * pushed, or both. Clients drop what they have seen.
 */
async function subscribe(
  deps: SocketDeps,
  connection: ConnectionRecord,
  {
    connectionId,
    topic,
    after,
    tell,
  }: {
    connectionId: string;
    topic: Topic;
    after: string | undefined;
    tell: (message: ServerMessage) => Promise<void>;
  },
): Promise<void> {
  checkScopes(connection, scopesOf(topic));
  const source = sourceOf(deps, connection.tenant_id, topic);
  if (source.kind === 'events') await source.check();
  await addSubscription(deps, connection, connectionId, topic);
  if (source.kind === 'states') {
    const { items, truncated } = await source.read();
    for (const some of inMessages(items)) await tell({ type: 'snapshot', topic, items: some });
    return tell({ type: 'subscribed', topic, ...(truncated ? { truncated } : {}) });
  }
  for (let cursor = after; ; ) {
    const { items, ended } = await source.read(cursor);
    for (const some of inMessages(items)) {
      await tell({ type: 'events', topic, ...(cursor === undefined ? {} : { after: cursor }), items: some });
      cursor = some.at(-1)?.cursor;
    }
    if (ended || items.length === 0) return tell({ type: 'subscribed', topic, ...(ended ? { ended } : {}) });
  }
}
