import { type App, ArnFormat, type Stack } from 'aws-cdk-lib';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { acknowledgeWildcard } from '../constructs/acknowledge.ts';
import { SigningRole } from '../constructs/signing-role.ts';
import type { TaskServices } from '../constructs/task-function.ts';
import { type Settings, stateMachineName } from '../settings.ts';
import { ContextStack, type ContextStackProps } from './context-stack.ts';

/** Products, accounts of marketplaces with their secrets, and commands for bridges. */
export class PublishingStack extends ContextStack {
  readonly #secretsEnvironment: Readonly<Record<string, string>>;
  readonly #secretsPrefix: string;

  constructor(app: App, id: string, props: ContextStackProps) {
    const { settings, foundation } = props;
    const secretsEnvironment = { SECRETS_PREFIX: `${settings.prefix}/` };
    super(app, id, { ...props, environment: { ...secretsEnvironment, ...foundation.bucketEnvironment } });
    this.#secretsEnvironment = secretsEnvironment;
    this.#secretsPrefix = `${settings.prefix}/marketplaces/`;
    const api = this.resources.function('api');
    this.#allowSecrets(api.role, this, ['CreateSecret', 'PutSecretValue', 'DeleteSecret']);
    // It answers the tokens of its workflow's machine.
    api.addEnvironment('STATE_MACHINE_ARN_PREFIX', this.#stateMachineArn(settings, ''));
    api.addToRolePolicy(
      new PolicyStatement({
        actions: ['states:SendTaskSuccess', 'states:SendTaskHeartbeat'],
        resources: [this.#stateMachineArn(settings, 'publishing')],
      }),
    );
    const signing = new SigningRole(this, 'Signing', {
      signer: api.role,
      bucket: foundation.bucket,
      keys: 'tenant/*/uploads/*',
      actions: ['Get'],
    });
    api.addEnvironment('SIGNING_ROLE_ARN', signing.roleArn);
  }

  override get services(): TaskServices {
    const { environment, allow } = super.services;
    return {
      environment: { ...environment, ...this.#secretsEnvironment },
      allow: (role, stack) => {
        allow(role, stack);
        this.#allowSecrets(role, stack, ['GetSecretValue', 'PutSecretValue']);
      },
    };
  }

  #stateMachineArn(settings: Settings, workflow: string): string {
    return this.formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: stateMachineName(settings, workflow),
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #allowSecrets(role: IRole, stack: Stack, actions: string[]): void {
    const arn = stack.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${this.#secretsPrefix}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const statement = { actions: actions.map((action) => `secretsmanager:${action}`), resources: [arn] };
    role.addToPrincipalPolicy(new PolicyStatement(statement));
    acknowledgeWildcard(role, arn, 'Every account of a marketplace has a secret of its own.');
  }
}
