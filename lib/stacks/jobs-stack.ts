import { type App, ArnFormat, Duration, type Stack } from 'aws-cdk-lib';
import { ComparisonOperator, type IMetric, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { SqsDestination } from 'aws-cdk-lib/aws-lambda-destinations';
import type { ContextSpec } from '../../contract/context.ts';
import * as contexts from '../../contract/contexts.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import * as workflows from '../../contract/workflows.ts';
import { acknowledgeWildcard } from '../constructs/acknowledge.ts';
import type { NodeFunction } from '../constructs/node-function.ts';
import { RunbookAlarm } from '../constructs/runbook-alarm.ts';
import { SigningRole } from '../constructs/signing-role.ts';
import { type Settings, settingsEnvironment, stateMachineName } from '../settings.ts';
import { ContextStack, type ContextStackProps } from './context-stack.ts';

/** Jobs and their tasks: adds settlement, what starts and stops executions, and alarms. */
export class JobsStack extends ContextStack {
  constructor(app: App, id: string, props: ContextStackProps) {
    const { settings, foundation } = props;
    const { bucket } = foundation;
    super(app, id, {
      ...props,
      environment: {
        ...foundation.bucketEnvironment,
        ...workflowSettings(settings),
      },
    });
    // State machines are known by name, so that the stacks of workflows can come later.
    const executions = new Executions(this, settings, Object.keys(workflows));
    const { table, deadLetters } = this.resources;
    const api = this.resources.function('api');
    const feed = this.resources.function('feed');
    const reconcile = this.resources.function('reconcile');
    const settle = this.resources.addFunction('Settle', {
      description: 'Settles a job when its execution has ended',
      entry: 'lambdas/jobs/settle.lambda.ts',
      memoryMiB: 1_024,
    });
    table.allowReadAndWrite(settle.role);
    new Rule(settle, 'ExecutionEnded', {
      description: 'An execution of a workflow has ended',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          status: ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED'],
          stateMachineArn: executions.stateMachineArns,
        },
      },
      // For events that never reach Lambda; it runs the function up to three times for the others.
      targets: [new LambdaFunction(settle, { deadLetterQueue: deadLetters })],
    });
    settle.configureAsyncInvoke({ onFailure: new SqsDestination(deadLetters) });

    const signing = new SigningRole(this, 'Signing', {
      signer: api.role,
      bucket,
      keys: 'tenant/*/jobs/*',
      actions: ['Get'],
    });
    api.addEnvironment('SIGNING_ROLE_ARN', signing.roleArn);
    for (const worker of [api, feed, settle, reconcile])
      worker.addEnvironment('STATE_MACHINE_ARN_PREFIX', executions.arnPrefix);
    bucket.allowObjects(api.role, 'tenant/*/uploads/*', 'Get');
    bucket.allowObjects(api.role, 'tenant/*/batches/*', 'Put', 'Delete');
    for (const worker of [feed, reconcile]) bucket.allowObjects(worker.role, 'tenant/*/batches/*', 'Get', 'Delete');
    executions.allowStop(api.role);
    for (const worker of [feed, settle, reconcile]) executions.allowAll(worker.role);
    addAlarms(this, settings, { feed, settle, reconcile });
  }
}

/** The settings of the contexts that complete the input of their workflows' jobs. */
function workflowSettings(settings: Settings): Record<string, string> {
  const names = Object.values<WorkflowEntry>(workflows).map(({ context }) => context);
  const ofWorkflows = Object.values<ContextSpec>(contexts).filter(({ name }) => names.includes(name));
  return Object.assign({}, ...ofWorkflows.map((context) => settingsEnvironment(context, settings)));
}

interface Watched {
  readonly feed: NodeFunction;
  readonly settle: NodeFunction;
  readonly reconcile: NodeFunction;
}

function addAlarms(stack: Stack, settings: Settings, { feed, settle, reconcile }: Watched): void {
  const period = Duration.minutes(5);
  const own = (metricName: string, statistic: string) =>
    new Metric({ namespace: settings.prefix, metricName, statistic, period });
  const alarm = (id: string, heading: string, says: string, metric: IMetric, threshold: number, more = {}) =>
    new RunbookAlarm(stack, id, { settings, heading, says, metric, threshold, evaluationPeriods: 1, ...more });

  alarm('JobsFailed', 'jobs-failed', 'Jobs have failed for good.', own('JobsFailed', 'Sum'), 1);
  // What one event or batch goes wrong with for good is tried three times and more.
  for (const [name, worker] of Object.entries({ Feed: feed, Settle: settle, Reconcile: reconcile })) {
    const says = `${name} of jobs throws errors.`;
    alarm(`${name}Fails`, `jobs-${name.toLowerCase()}-fails`, says, worker.metricErrors({ period }), 3);
  }
  // One trouble that stays is told every minute.
  const stuck = 'Jobs are in a state that reconcile cannot bring further.';
  alarm('Stuck', 'jobs-stuck', stuck, own('ReconcileErrors', 'Sum'), 3);
  const stopped = 'Reconcile has not run for 10 minutes.';
  alarm('ReconcileStopped', 'jobs-reconcile-stopped', stopped, reconcile.metricInvocations({ period }), 0, {
    comparisonOperator: ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
    treatMissingData: TreatMissingData.BREACHING,
    evaluationPeriods: 2,
  });
  const lag = feed.metric('IteratorAge', { statistic: Stats.MAXIMUM, period });
  alarm('FeedLags', 'jobs-feed-lags', 'Changes of jobs wait for more than a minute to be consumed.', lag, 60_000);
  const waits = 'A queued job has been due for more than an hour.';
  alarm('QueueWaits', 'jobs-queue-waits', waits, own('OldestQueuedSeconds', Stats.MAXIMUM), 3_600);
  const unsaved = 'A running job that keeps checkpoints has kept none for more than half an hour.';
  const checkpointAge = own('OldestCheckpointSeconds', Stats.MAXIMUM);
  alarm('CheckpointsLate', 'jobs-checkpoints-late', unsaved, checkpointAge, 1_800);
}

/** The workflows' executions, by the names of their state machines. */
class Executions {
  readonly arnPrefix: string;
  readonly stateMachineArns: string[];
  readonly #executionArns: string[];

  constructor(stack: Stack, settings: Settings, workflows: readonly string[]) {
    const arn = (resource: string, resourceName: string) =>
      stack.formatArn({ service: 'states', resource, resourceName, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
    this.arnPrefix = arn('stateMachine', stateMachineName(settings, ''));
    this.stateMachineArns = workflows.map((name) => arn('stateMachine', stateMachineName(settings, name)));
    this.#executionArns = workflows.map((name) => arn('execution', `${stateMachineName(settings, name)}:*`));
  }

  allowStop(role: IRole): void {
    this.#allowOnExecutions(role, ['states:StopExecution']);
  }

  allowAll(role: IRole): void {
    role.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['states:StartExecution'], resources: this.stateMachineArns }),
    );
    this.#allowOnExecutions(role, ['states:StopExecution', 'states:DescribeExecution']);
  }

  #allowOnExecutions(role: IRole, actions: string[]): void {
    role.addToPrincipalPolicy(new PolicyStatement({ actions, resources: this.#executionArns }));
    for (const arn of this.#executionArns) {
      acknowledgeWildcard(role, arn, 'Every attempt of a job is an execution of its own.');
    }
  }
}
