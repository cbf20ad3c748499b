import { type App, ArnFormat, Stack } from 'aws-cdk-lib';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { publishing } from '../../contract/contexts.ts';
import { acknowledgeWildcard } from '../constructs/acknowledge.ts';
import { ContextTable } from '../constructs/context-table.ts';
import { NodeFunction } from '../constructs/node-function.ts';
import { SigningRole } from '../constructs/signing-role.ts';
import type { TaskServices } from '../constructs/task-function.ts';
import { type Settings, settingsEnvironment, stateMachineName } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';
import type { UploadsStack } from './uploads-stack.ts';

/** Products, accounts of marketplaces, and commands for bridges. */
export class PublishingStack extends Stack {
  readonly table: ContextTable;
  readonly api: NodeFunction;
  /** For the tasks of the workflow. */
  readonly services: TaskServices;

  constructor(app: App, id: string, settings: Settings, foundation: FoundationStack, uploads: UploadsStack) {
    super(app, id, { description: 'Millrace: products and marketplaces' });
    this.table = new ContextTable(this, 'Publishing', settings);
    const secretsPrefix = `${settings.prefix}/`;
    const environment = { PUBLISHING_TABLE: this.table.table.tableName, SECRETS_PREFIX: secretsPrefix };

    this.api = new NodeFunction(this, 'Api', {
      settings,
      description: 'API: products, marketplace accounts, bridge',
      entry: 'lambdas/publishing/api.lambda.ts',
      memoryMiB: 1_024,
      timeoutSeconds: 28,
      environment: {
        ...environment,
        ...foundation.authEnvironment,
        ...foundation.bucketEnvironment,
        UPLOADS_TABLE: uploads.table.table.tableName,
        // Of the machine whose tokens it answers.
        STATE_MACHINE_ARN_PREFIX: this.#stateMachineArn(stateMachineName(settings, '')),
      },
    });
    foundation.allowAuthentication(this.api);
    this.table.allowReadAndWrite(this.api.role);
    uploads.table.allowRead(this.api.role);
    this.#allowSecrets(this.api.role, secretsPrefix, [
      'secretsmanager:CreateSecret',
      'secretsmanager:PutSecretValue',
      'secretsmanager:DeleteSecret',
    ]);
    this.api.addToRolePolicy(
      new PolicyStatement({
        actions: ['states:SendTaskSuccess', 'states:SendTaskHeartbeat'],
        resources: [this.#stateMachineArn(stateMachineName(settings, 'publishing'))],
      }),
    );
    const signing = new SigningRole(this, 'Signing', {
      signer: this.api.role,
      bucket: foundation.bucket,
      keys: 'tenant/*/uploads/*',
      actions: ['Get'],
    });
    this.api.addEnvironment('SIGNING_ROLE_ARN', signing.roleArn);

    this.services = {
      environment: { ...environment, ...settingsEnvironment(publishing, settings) },
      allow: (role, stack) => {
        this.table.allowReadAndWrite(role);
        this.#allowSecrets(
          role,
          secretsPrefix,
          ['secretsmanager:GetSecretValue', 'secretsmanager:PutSecretValue'],
          stack,
        );
      },
    };
  }

  #stateMachineArn(name: string): string {
    return this.formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #allowSecrets(role: IRole, prefix: string, actions: string[], stack: Stack = this): void {
    const arn = stack.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${prefix}marketplaces/*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    role.addToPrincipalPolicy(new PolicyStatement({ actions, resources: [arn] }));
    acknowledgeWildcard(role, arn, 'Every account of a marketplace has a secret of its own.');
  }
}
