import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SFNClient } from '@aws-sdk/client-sfn';
import { STSClient } from '@aws-sdk/client-sts';
import * as z from 'zod/mini';
import { tableVariable } from '../../contract/context.ts';
import { DynamoTable } from '../../platform/aws/dynamo-table.ts';
import { EventBridgeBus } from '../../platform/aws/eventbridge-bus.ts';
import { GatewayPush } from '../../platform/aws/gateway-push.ts';
import { createS3Client, S3ObjectStore } from '../../platform/aws/s3-object-store.ts';
import { assumedRoleCredentials, S3Presigner } from '../../platform/aws/s3-presign.ts';
import { SecretsManagerSecrets } from '../../platform/aws/secrets-manager-secrets.ts';
import { SfnWorkflows } from '../../platform/aws/sfn-workflows.ts';
import type { Push } from '../../platform/ports/push.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { readConfig } from './config.ts';
import { createLog, type Log } from './log.ts';

// What the Lambda entries are made of. Each function reads the variables that it needs, so that an entry's bundle, its
// environment and its permissions hold only what it uses. Entries call them when they load.

const S3Config = {
  BUCKET: z.string(),
  /** Where clients reach S3 if that is not where AWS has it; such engines have buckets in the path. */
  MILLRACE_PUBLIC_S3_ENDPOINT: z.optional(z.string()),
};

/** A table answers in milliseconds: a connection that hangs is given up while its caller still waits, and tried again. */
const PATIENCE = { connectionTimeout: 2_000, requestTimeout: 8_000, throwOnRequestTimeout: true };

/** The table of a context. */
export function openTable(context: string): DynamoTable {
  const variable = tableVariable(context);
  const config: Record<string, string> = readConfig({ [variable]: z.string() });
  return new DynamoTable({
    client: new DynamoDBClient({ requestHandler: PATIENCE }),
    tableName: config[variable] as string,
  });
}

/** Objects for a function that signs no URLs. */
export function openObjects(): S3ObjectStore {
  const config = readConfig(S3Config);
  return new S3ObjectStore({ client: openS3(config), bucket: config.BUCKET });
}

/** Objects whose URLs are signed by the signing role's credentials. */
export function openSignedObjects(): S3ObjectStore {
  const config = readConfig({ ...S3Config, SIGNING_ROLE_ARN: z.string() });
  const publicEndpoint = config.MILLRACE_PUBLIC_S3_ENDPOINT;
  const common = { client: openS3(config), bucket: config.BUCKET };
  const credentials = assumedRoleCredentials({
    stsClient: new STSClient(),
    roleArn: config.SIGNING_ROLE_ARN,
    clock: systemClock,
  });
  const presigner = new S3Presigner({
    ...common,
    credentials,
    clock: systemClock,
    ...(publicEndpoint ? { publicEndpoint } : {}),
  });
  return new S3ObjectStore({ ...common, presigner });
}

function openS3(config: { MILLRACE_PUBLIC_S3_ENDPOINT?: string | undefined }) {
  return createS3Client({ forcePathStyle: config.MILLRACE_PUBLIC_S3_ENDPOINT !== undefined });
}

/** The log of a function that tells metrics, too. */
export function openLog(name: string): Log {
  const config = readConfig({ METRICS_NAMESPACE: z.string() });
  return createLog({ function: name }, undefined, config.METRICS_NAMESPACE);
}

export function openBus(): EventBridgeBus {
  const config = readConfig({ BUS_NAME: z.string() });
  return new EventBridgeBus({ client: new EventBridgeClient(), busName: config.BUS_NAME });
}

/** The context's secrets: their names begin with a prefix of its own. */
export function openSecrets(): SecretsManagerSecrets {
  const { SECRETS_PREFIX: prefix } = readConfig({ SECRETS_PREFIX: z.string() });
  return new SecretsManagerSecrets({ client: new SecretsManagerClient(), prefix });
}

/** Nobody is connected where there is no WebSocket API. */
const NO_PUSH: Push = { send: async () => false, close: async () => {} };

export function openPush(): Push {
  const { PUSH_ENDPOINT: endpoint } = readConfig({ PUSH_ENDPOINT: z.optional(z.string()) });
  if (!endpoint) return NO_PUSH;
  // The function's own, which Lambda sets.
  const own = readConfig({
    AWS_REGION: z.string(),
    AWS_ACCESS_KEY_ID: z.string(),
    AWS_SECRET_ACCESS_KEY: z.string(),
    AWS_SESSION_TOKEN: z.optional(z.string()),
  });
  const credentials = {
    accessKeyId: own.AWS_ACCESS_KEY_ID,
    secretAccessKey: own.AWS_SECRET_ACCESS_KEY,
    ...(own.AWS_SESSION_TOKEN ? { sessionToken: own.AWS_SESSION_TOKEN } : {}),
  };
  return new GatewayPush({ endpoint, region: own.AWS_REGION, credentials });
}

export function openWorkflows(): SfnWorkflows {
  return new SfnWorkflows({ client: new SFNClient(), stateMachineArnPrefix: stateMachineArnPrefix() });
}

export function stateMachineArnPrefix(): string {
  return readConfig({ STATE_MACHINE_ARN_PREFIX: z.string() }).STATE_MACHINE_ARN_PREFIX;
}
