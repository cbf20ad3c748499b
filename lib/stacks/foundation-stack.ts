import { type App, CfnOutput, Stack } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { identity } from '../../contract/routes/identity.ts';
import manifest from '../../package.json' with { type: 'json' };
import { acknowledge } from '../constructs/acknowledge.ts';
import { type Authentication, ContextResources } from '../constructs/context-resources.ts';
import { DataBucket } from '../constructs/data-bucket.ts';
import { GatewayLogging } from '../constructs/gateway-logging.ts';
import type { NodeFunction } from '../constructs/node-function.ts';
import { removalPolicyOf, type Settings, settingsEnvironment } from '../settings.ts';

/** What the contexts share: the bus, the bucket, who may call, and that calls are logged. */
export class FoundationStack extends Stack implements Authentication {
  readonly bus: EventBus;
  readonly bucket: DataBucket;
  readonly identity: ContextResources;
  readonly #settings: Settings;

  constructor(app: App, id: string, settings: Settings) {
    super(app, id, { description: 'Millrace: event bus, bucket, API keys' });
    this.#settings = settings;
    this.bus = new EventBus(this, 'Bus', { eventBusName: settings.prefix });
    this.bucket = new DataBucket(this, 'Data', settings);
    new GatewayLogging(this, 'GatewayLogging');
    const rootSecret = new Secret(this, 'RootSecret', {
      description: 'Creates API keys of any tenant; accepted on the keys routes alone',
      generateSecretString: { passwordLength: 43, excludePunctuation: true },
      removalPolicy: removalPolicyOf(settings),
    });
    acknowledge(rootSecret, 'AwsSolutions-SMG4', 'It is changed by hand: whoever holds it has to be told.');

    this.identity = new ContextResources(this, {
      settings,
      context: identity,
      authentication: { authEnvironment: this.#issuers, allowAuthentication: () => undefined },
      reads: {},
      environment: {
        ROOT_SECRET_ARN: rootSecret.secretArn,
        SECRETS_PREFIX: `${settings.prefix}/`,
        MILLRACE_VERSION: manifest.version,
      },
      ids: { api: 'IdentityApi' },
    });
    this.identity
      .function('api')
      .addToRolePolicy(
        new PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources: [rootSecret.secretArn] }),
      );

    new CfnOutput(this, 'RootSecretArn', { value: rootSecret.secretArn });
    new CfnOutput(this, 'BucketName', { value: this.bucket.bucketName });
    new CfnOutput(this, 'BusName', { value: this.bus.eventBusName });
  }

  /** What a function that answers requests needs to tell who calls; it must also be allowed to by `allowAuthentication`. */
  get authEnvironment(): Record<string, string> {
    return { IDENTITY_TABLE: this.identity.table.table.tableName, ...this.#issuers };
  }

  get #issuers(): Record<string, string> {
    return settingsEnvironment(identity, this.#settings);
  }

  get bucketEnvironment(): Record<string, string> {
    const { publicS3Endpoint } = this.#settings;
    return {
      BUCKET: this.bucket.bucketName,
      ...(publicS3Endpoint ? { MILLRACE_PUBLIC_S3_ENDPOINT: publicS3Endpoint } : {}),
    };
  }

  allowAuthentication(api: NodeFunction): void {
    this.identity.table.allow(api.role, ['dynamodb:GetItem', 'dynamodb:UpdateItem']);
  }
}
