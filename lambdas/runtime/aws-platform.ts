import * as z from 'zod/mini';
import { queueVariable, settingVariable, tableVariable } from '../../contract/context.ts';
import type { Push } from '../../platform/ports/push.ts';
import { ROOT_SECRET } from '../../platform/ports/secrets.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { jsonText, readConfig } from './config.ts';
import { createLog } from './log.ts';
import type { Platform } from './platform.ts';
import { remembered } from './remembered.ts';

/** Nobody is connected where there is no WebSocket API. */
const NO_PUSH: Push = { send: async () => false, close: async () => {} };

/**
 * The platform of a Lambda function. Each port reads the variables that it needs when it is opened, so that a function's
 * environment and permissions hold only what it uses.
 */
export function openAwsPlatform(functionName: string): Platform {
  const rootSecretArn = optional('ROOT_SECRET_ARN');
  return {
    clock: systemClock,
    log: createLog({ function: functionName }, undefined, optional('METRICS_NAMESPACE')),
    table: remembered(async (context: string) =>
      (await import('../../platform/aws/dynamo-table.ts')).openDynamoTable(required(tableVariable(context))),
    ),
    objects: remembered(async () =>
      (await import('../../platform/aws/s3-object-store.ts')).openS3Objects(bucketOptions()),
    ),
    signedObjects: remembered(async () =>
      (await import('../../platform/aws/s3-signed-objects.ts')).openSignedS3Objects({
        ...bucketOptions(),
        signingRoleArn: required('SIGNING_ROLE_ARN'),
        clock: systemClock,
      }),
    ),
    bus: remembered(async () =>
      (await import('../../platform/aws/eventbridge-bus.ts')).openEventBridgeBus(required('BUS_NAME')),
    ),
    consumers: () =>
      readConfig({ EVENT_CONSUMERS: jsonText(z.record(z.string(), z.array(z.string()))) }).EVENT_CONSUMERS,
    queue: remembered(async (context: string) =>
      (await import('../../platform/aws/sqs-queue.ts')).openSqsQueue(required(queueVariable(context))),
    ),
    workflows: remembered(async () =>
      (await import('../../platform/aws/sfn-workflows.ts')).openSfnWorkflows(readStateMachineArnPrefix()),
    ),
    secrets: remembered(async () =>
      (await import('../../platform/aws/secrets-manager-secrets.ts')).openSecrets({
        prefix: required('SECRETS_PREFIX'),
        ...(rootSecretArn ? { deployed: { [ROOT_SECRET]: rootSecretArn } } : {}),
      }),
    ),
    push: remembered(async () => {
      const endpoint = optional('PUSH_ENDPOINT');
      return endpoint ? (await import('../../platform/aws/gateway-push.ts')).openGatewayPush(endpoint) : NO_PUSH;
    }),
    settings: readSettings,
    version: () => required('MILLRACE_VERSION'),
    webSocketUrl: () => optional('WEBSOCKET_URL'),
    acceptsRootSecret: rootSecretArn !== undefined,
  };
}

/** The state machine of a workflow has this before the workflow's name. */
export function readStateMachineArnPrefix(): string {
  return required('STATE_MACHINE_ARN_PREFIX');
}

function required(variable: string): string {
  return readConfig({ [variable]: z.string() })[variable] as string;
}

function optional(variable: string): string | undefined {
  return readConfig({ [variable]: z.optional(z.string()) })[variable];
}

function bucketOptions(): { bucket: string; publicEndpoint: string | undefined } {
  return { bucket: required('BUCKET'), publicEndpoint: optional('MILLRACE_PUBLIC_S3_ENDPOINT') };
}

function readSettings<Shape extends z.core.$ZodShape>(shape: Shape): z.output<z.ZodMiniObject<Shape>> {
  const names = Object.keys(shape);
  const texts = names.map((name) => [settingVariable(name), jsonText(shape[name] as z.ZodMiniType)]);
  const config: Readonly<Record<string, unknown>> = readConfig(Object.fromEntries(texts));
  const settings = Object.fromEntries(names.map((name) => [name, config[settingVariable(name)]]));
  return settings as z.output<z.ZodMiniObject<Shape>>;
}
