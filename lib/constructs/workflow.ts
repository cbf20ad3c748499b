import { readFileSync } from 'node:fs';
import { RemovalPolicy } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { DefinitionBody, LogLevel, StateMachine, StateMachineType } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Settings } from '../settings.ts';
import { acknowledge, acknowledgeWildcard } from './acknowledge.ts';

export interface WorkflowProps {
  readonly settings: Settings;
  readonly stateMachineName: string;
  /** An ASL file; its placeholders are `${<state>FunctionArn}` for each Task state of a Lambda. */
  readonly definitionFile: string;
  /** The Lambdas by the names of their Task states. */
  readonly tasks: Readonly<Record<string, IFunction>>;
}

/** A state machine made of an ASL file and the Lambdas of its tasks. */
export class Workflow extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: WorkflowProps) {
    super(scope, id);
    const { settings, stateMachineName, definitionFile } = props;
    const substitutions = Object.fromEntries(
      Object.entries(props.tasks).map(([state, task]) => [`${state}FunctionArn`, task.functionArn]),
    );
    checkPlaceholders(definitionFile, Object.keys(substitutions));

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName,
      stateMachineType: StateMachineType.STANDARD,
      definitionBody: DefinitionBody.fromFile(definitionFile),
      definitionSubstitutions: substitutions,
      tracingEnabled: true,
      logs: {
        level: LogLevel.ERROR,
        destination: new LogGroup(this, 'Log', {
          // Step Functions writes to groups under this name without a resource policy of their own, which has a size limit.
          logGroupName: `/aws/vendedlogs/states/${stateMachineName}`,
          retention: settings.logRetentionDays,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      },
    });
    this.stateMachine.addToRolePolicy(
      new PolicyStatement({
        actions: ['lambda:InvokeFunction'],
        resources: Object.values(props.tasks).map((task) => task.functionArn),
      }),
    );
    acknowledgeWildcard(
      this.stateMachine.role,
      '*',
      'X-Ray and the delivery of logs have no permissions for single resources.',
    );
    acknowledge(
      this.stateMachine,
      'AwsSolutions-SF1',
      'The ledger has every task; level ALL logs each state twice, at a price.',
    );
  }
}

function checkPlaceholders(definitionFile: string, given: readonly string[]): void {
  const text = readFileSync(definitionFile, 'utf8');
  const wanted = new Set(Array.from(text.matchAll(/\$\{([^}]*)\}/g), ([, name = '']) => name));
  const unknown = [...wanted].filter((name) => !given.includes(name));
  const unused = given.filter((name) => !wanted.has(name));
  if (unknown.length + unused.length === 0) return;
  const problems = [
    ...unknown.map((name) => `\${${name}} has no task in the contract`),
    ...unused.map((name) => `\${${name}} is nowhere in the file`),
  ];
  throw new Error(`${definitionFile}: ${problems.join(', ')}`);
}
