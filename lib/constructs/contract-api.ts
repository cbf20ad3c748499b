import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import {
  AccessLogField,
  AccessLogFormat,
  EndpointType,
  Integration,
  IntegrationType,
  LogGroupLogDestination,
  type Resource,
  ResponseType,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { ERRORS, type ErrorCode } from '../../contract/errors.ts';
import { routes } from '../../contract/routes.ts';
import type { Settings } from '../settings.ts';
import { acknowledge } from './acknowledge.ts';
import type { ContextResources } from './context-resources.ts';
import type { NodeFunction } from './node-function.ts';

/** What API Gateway answers by itself, and the contract's code for it. */
const GATEWAY_ERRORS: readonly [ResponseType, ErrorCode][] = [
  [ResponseType.DEFAULT_4XX, 'ValidationError'],
  [ResponseType.DEFAULT_5XX, 'InternalError'],
  // API Gateway's name for a request that matches no resource and method.
  [ResponseType.MISSING_AUTHENTICATION_TOKEN, 'RouteNotFoundError'],
  [ResponseType.RESOURCE_NOT_FOUND, 'RouteNotFoundError'],
  [ResponseType.UNAUTHORIZED, 'UnauthenticatedError'],
  [ResponseType.ACCESS_DENIED, 'ForbiddenError'],
  [ResponseType.WAF_FILTERED, 'ForbiddenError'],
  [ResponseType.REQUEST_TOO_LARGE, 'PayloadTooLargeError'],
  [ResponseType.THROTTLED, 'TooManyRequestsError'],
  [ResponseType.QUOTA_EXCEEDED, 'TooManyRequestsError'],
  [ResponseType.INTEGRATION_FAILURE, 'ServiceBusyError'],
  [ResponseType.INTEGRATION_TIMEOUT, 'GatewayTimeoutError'],
];

const REQUEST_HEADERS = ['authorization', 'content-type', 'idempotency-key'];
const RESPONSE_HEADERS = ['location', 'retry-after', 'x-request-id'];

/** The REST API of the contract's route table; each context's function answers its routes. */
export class ContractApi extends RestApi {
  constructor(
    scope: Construct,
    id: string,
    { settings, contexts }: { settings: Settings; contexts: readonly ContextResources[] },
  ) {
    const accessLog = new LogGroup(scope, 'AccessLog', {
      retention: settings.logRetentionDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    super(scope, id, {
      restApiName: settings.prefix,
      endpointTypes: [EndpointType.REGIONAL],
      // GatewayLogging has it.
      cloudWatchRole: false,
      deployOptions: {
        stageName: 'v1',
        throttlingRateLimit: 1_000,
        throttlingBurstLimit: 2_000,
        tracingEnabled: true,
        accessLogDestination: new LogGroupLogDestination(accessLog),
        accessLogFormat: ACCESS_LOG,
      },
    });
    this.#addRoutes(contexts);
    this.#addGatewayResponses();
    this.#acknowledgeFindings();
  }

  #addRoutes(contexts: readonly ContextResources[]): void {
    const paths = new Map<string, Resource>();
    for (const resources of contexts) {
      const { name, routes: own } = resources.context;
      if (Object.keys(own).length === 0) continue;
      const integration = this.#integrate(name, resources.function('api'));
      for (const { method, path } of Object.values(own)) {
        const resource = paths.get(path) ?? this.root.resourceForPath(path);
        paths.set(path, resource);
        resource.addMethod(method, integration);
      }
    }
    for (const [path, resource] of paths) {
      const methods = Object.values(routes)
        .filter((route) => route.path === path)
        .map((route) => route.method);
      resource.addCorsPreflight({
        allowOrigins: ['*'],
        allowMethods: methods,
        allowHeaders: REQUEST_HEADERS,
        exposeHeaders: RESPONSE_HEADERS,
      });
    }
  }

  /**
   * A Lambda integration with one permission for all of a context's routes. The CDK's own makes two a method, and in the
   * function's stack, which would then need this one.
   */
  #integrate(context: string, target: NodeFunction): Integration {
    const { partition, region } = Stack.of(this);
    new CfnPermission(this, `${context}Permission`, {
      action: 'lambda:InvokeFunction',
      functionName: target.functionArn,
      principal: 'apigateway.amazonaws.com',
      sourceArn: this.arnForExecuteApi(),
    });
    return new Integration({
      type: IntegrationType.AWS_PROXY,
      integrationHttpMethod: 'POST',
      uri: `arn:${partition}:apigateway:${region}:lambda:path/2015-03-31/functions/${target.functionArn}/invocations`,
    });
  }

  #addGatewayResponses(): void {
    for (const [type, code] of GATEWAY_ERRORS) {
      const { status, meaning } = ERRORS[code];
      const isDefault = type === ResponseType.DEFAULT_4XX || type === ResponseType.DEFAULT_5XX;
      const body = { error: code, message: meaning, details: {}, request_id: '$context.requestId' };
      this.addGatewayResponse(type.responseType, {
        type,
        // The default ones stand for several statuses.
        ...(isDefault ? {} : { statusCode: String(status) }),
        responseHeaders: {
          'Access-Control-Allow-Origin': "'*'",
          'Access-Control-Expose-Headers': `'${RESPONSE_HEADERS.join(',')}'`,
          'Content-Type': "'application/json'",
          'X-Request-Id': 'context.requestId',
        },
        templates: { 'application/json': JSON.stringify(body) },
      });
    }
  }

  #acknowledgeFindings(): void {
    const inWrapper = 'The function checks it by the contract, in one place for every platform.';
    acknowledge(this, 'AwsSolutions-APIG2', inWrapper);
    acknowledge(this, 'AwsSolutions-APIG4', inWrapper);
    acknowledge(this, 'AwsSolutions-COG4', inWrapper);
    acknowledge(this, 'AwsSolutions-APIG3', 'Callers bring a credential; a firewall is the choice of each account.');
    acknowledge(
      this,
      'AwsSolutions-APIG6',
      "There is an access log, and the functions' own logs; this would log bodies.",
    );
  }
}

const ACCESS_LOG = AccessLogFormat.custom(
  JSON.stringify({
    request_id: AccessLogField.contextRequestId(),
    time: AccessLogField.contextRequestTimeEpoch(),
    ip: AccessLogField.contextIdentitySourceIp(),
    method: AccessLogField.contextHttpMethod(),
    route: AccessLogField.contextResourcePath(),
    status: AccessLogField.contextStatus(),
    ms: AccessLogField.contextResponseLatency(),
    bytes: AccessLogField.contextResponseLength(),
    gateway_error: AccessLogField.contextErrorResponseType(),
  }),
);
