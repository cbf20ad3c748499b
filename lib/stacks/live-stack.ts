import { type App, ArnFormat, CfnOutput, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { queueVariable, tableVariable } from '../../contract/context.ts';
import { live, webhooks } from '../../contract/contexts.ts';
import { acknowledgeWildcard } from '../constructs/acknowledge.ts';
import { feedChanges } from '../constructs/change-feed.ts';
import { ContextResources } from '../constructs/context-resources.ts';
import type { ContextTable } from '../constructs/context-table.ts';
import { LiveSocket } from '../constructs/live-socket.ts';
import type { NodeFunction } from '../constructs/node-function.ts';
import type { Settings } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';

interface LiveStackProps {
  readonly settings: Settings;
  readonly foundation: FoundationStack;
  /** The tables whose events are published, by their contexts. */
  readonly tables: Readonly<Record<string, ContextTable>>;
  /** Of all other contexts: those that consume events get them from here. */
  readonly contexts: readonly ContextResources[];
}

/** Publishes events: the WebSocket API with the functions that push over it, and webhooks, which began as a part of it. */
export class LiveStack extends Stack {
  readonly live: ContextResources;
  readonly webhooks: ContextResources;

  constructor(app: App, id: string, { settings, foundation, tables, contexts }: LiveStackProps) {
    super(app, id, { description: 'Millrace: live events, webhooks' });
    this.webhooks = new ContextResources(this, {
      settings,
      context: webhooks,
      authentication: foundation,
      reads: {},
      environment: { SECRETS_PREFIX: `${settings.prefix}/` },
      // They are older than the context: CloudFormation would replace what has another id.
      ids: { table: 'Live', feed: 'Send', api: 'WebhooksApi' },
    });
    this.#allowSecrets(settings);

    this.live = new ContextResources(this, {
      settings,
      context: live,
      authentication: foundation,
      // The socket alone reads them.
      reads: {},
      ids: { table: 'Connections' },
      deadLetters: this.webhooks.deadLetters,
    });
    const publisher = this.live.addFunction('Feed', {
      description: 'Pushes events to connections, sends them to the bus and to the contexts that consume them',
      entry: 'lambdas/live/publish.lambda.ts',
    });
    this.live.table.allowReadAndWrite(publisher.role);
    for (const { table } of Object.values(tables))
      feedChanges({ table, consumer: publisher, deadLetters: this.live.deadLetters, prefixes: ['EVENT#'] });
    foundation.bus.grantPutEventsTo(publisher);
    publisher.addEnvironment('BUS_NAME', foundation.bus.eventBusName);
    this.#sendToConsumers(publisher, [...contexts, this.webhooks]);
    if (settings.webSocket) this.#addSocket(settings, foundation, publisher, tables);
  }

  #sendToConsumers(publisher: NodeFunction, contexts: readonly ContextResources[]): void {
    const types: Record<string, readonly string[]> = {};
    for (const { context, queue } of contexts) {
      if (!context.consumes || !queue) continue;
      types[context.name] = context.consumes.types;
      queue.allowSend(publisher.role);
      publisher.addEnvironment(queueVariable(context.name), queue.queue.queueUrl);
    }
    publisher.addEnvironment('EVENT_CONSUMERS', JSON.stringify(types));
  }

  #addSocket(
    settings: Settings,
    foundation: FoundationStack,
    publisher: NodeFunction,
    tables: LiveStackProps['tables'],
  ): void {
    const target = this.live.addFunction('Messages', {
      description: 'WebSocket: connections and subscriptions',
      entry: 'lambdas/live/socket.lambda.ts',
      timeoutSeconds: 28,
      environment: {
        ...foundation.authEnvironment,
        ...Object.fromEntries(
          Object.entries(tables).map(([name, { table }]) => [tableVariable(name), table.tableName]),
        ),
      },
    });
    foundation.allowAuthentication(target);
    this.live.table.allowReadAndWrite(target.role);
    for (const table of Object.values(tables)) table.allowRead(target.role);
    const socket = new LiveSocket(this, 'Socket', { settings, target });
    for (const pusher of [target, publisher]) {
      socket.allowPush(pusher);
      pusher.addEnvironment('PUSH_ENDPOINT', socket.endpoint);
    }
    this.live.function('api').addEnvironment('WEBSOCKET_URL', socket.url);
    new CfnOutput(this, 'WebSocketUrl', { value: socket.url });
  }

  #allowSecrets(settings: Settings): void {
    const arn = this.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${settings.prefix}/webhooks/*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const allow = (part: string, ...names: string[]) => {
      const { role } = this.webhooks.function(part);
      const actions = names.map((name) => `secretsmanager:${name}`);
      role.addToPrincipalPolicy(new PolicyStatement({ actions, resources: [arn] }));
      acknowledgeWildcard(role, arn, 'Every webhook has a secret of its own.');
    };
    allow('api', 'GetSecretValue', 'CreateSecret', 'PutSecretValue', 'DeleteSecret');
    allow('feed', 'GetSecretValue');
    allow('resend', 'GetSecretValue');
  }
}
