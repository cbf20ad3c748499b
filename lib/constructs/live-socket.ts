import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { type CfnStage, WebSocketApi, WebSocketStage } from 'aws-cdk-lib/aws-apigatewayv2';
import { WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Settings } from '../settings.ts';
import { acknowledge, acknowledgeWildcard } from './acknowledge.ts';
import type { NodeFunction } from './node-function.ts';

/** A WebSocket API whose routes one function answers. */
export class LiveSocket extends Construct {
  /** Where clients connect. */
  readonly url: string;
  /** Where functions push. */
  readonly endpoint: string;
  readonly #stage: WebSocketStage;

  constructor(scope: Construct, id: string, { settings, target }: { settings: Settings; target: NodeFunction }) {
    super(scope, id);
    const integration = (name: string) => ({ integration: new WebSocketLambdaIntegration(name, target) });
    const api = new WebSocketApi(this, 'Api', {
      apiName: `${settings.prefix}-live`,
      connectRouteOptions: integration('Connect'),
      disconnectRouteOptions: integration('Disconnect'),
      defaultRouteOptions: integration('Message'),
    });
    this.#stage = new WebSocketStage(this, 'Stage', {
      webSocketApi: api,
      stageName: 'v1',
      autoDeploy: true,
      throttle: { rateLimit: 1_000, burstLimit: 2_000 },
    });
    const accessLog = new LogGroup(this, 'AccessLog', {
      retention: settings.logRetentionDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    (this.#stage.node.defaultChild as CfnStage).accessLogSettings = {
      destinationArn: accessLog.logGroupArn,
      format: ACCESS_LOG,
    };
    const { executeApiBase } = settings;
    const own = (base: string) => `${base}/${api.apiId}/${this.#stage.stageName}`;
    this.url = executeApiBase ? own(executeApiBase.replace(/^http/, 'ws')) : this.#stage.url;
    this.endpoint = executeApiBase ? own(executeApiBase) : this.#stage.callbackUrl;
    const inFunction = 'The function authenticates each connection by its subprotocol, as on every platform.';
    for (const route of ['$connect-Route', '$disconnect-Route', '$default-Route']) {
      acknowledge(api.node.findChild(route), 'AwsSolutions-APIG4', inFunction);
    }
  }

  /** Lets a function tell connections, and close them. */
  allowPush(pusher: NodeFunction): void {
    const arn = Stack.of(this).formatArn({
      service: 'execute-api',
      resource: this.#stage.api.apiId,
      resourceName: `${this.#stage.stageName}/*/@connections/*`,
    });
    pusher.addToRolePolicy(new PolicyStatement({ actions: ['execute-api:ManageConnections'], resources: [arn] }));
    acknowledgeWildcard(pusher.role, arn, 'Connections come and go.');
  }
}

const ACCESS_LOG = JSON.stringify({
  request_id: '$context.requestId',
  time: '$context.requestTimeEpoch',
  ip: '$context.identity.sourceIp',
  route: '$context.routeKey',
  status: '$context.status',
  connection_id: '$context.connectionId',
});
