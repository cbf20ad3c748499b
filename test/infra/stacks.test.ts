import { readFileSync } from 'node:fs';
import type { Stack } from 'aws-cdk-lib';
import { Match } from 'aws-cdk-lib/assertions';
import { describe, expect, test } from 'vitest';
import type { ContextSpec } from '../../contract/context.ts';
import * as contexts from '../../contract/contexts.ts';
import { ERRORS } from '../../contract/errors.ts';
import { DEFAULT_QUOTAS } from '../../contract/limits.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import * as workflows from '../../contract/workflows.ts';
import { settingsHelp } from '../../lib/settings.ts';
import { resourcesOf, synthesize } from './synth.ts';

const { app, templates } = synthesize();
const of = (type: string) => resourcesOf(templates, type);

const declared = Object.values<ContextSpec>(contexts);
const live: ContextSpec = contexts.live;
const withTable = declared.filter(({ table }) => table);
const withRoutes = declared.filter(({ routes: own }) => Object.keys(own).length > 0);
const withFeed = declared.filter(({ feed }) => feed);
const consuming = declared.filter(({ consumes }) => consumes);
const schedules = declared.flatMap(({ schedules: own = {} }) => Object.values(own));
const tasks = Object.values<WorkflowEntry>(workflows).flatMap((workflow) => Object.values(workflow.tasks));
/** Contexts that share a stack with others. */
const STACKS: Readonly<Record<string, string>> = { identity: 'foundation', webhooks: 'live' };
const stackOf = (context: string) => `millrace-${STACKS[context] ?? context}`;
/** Stacks whose functions leave behind what could not be delivered to them. */
const withDeadLetters = new Set(
  [...withFeed, ...declared.filter((each) => each.schedules)].map(({ name }) => stackOf(name)),
);
const one = (type: string) => of(type)[0]?.properties;

describe('tables', () => {
  test('are encrypted, recoverable, protected, with a stream, a ttl and two indexes', () => {
    const tables = of('AWS::DynamoDB::Table');
    expect(tables).toHaveLength(withTable.length);
    for (const { properties } of tables) {
      expect(properties).toMatchObject({
        BillingMode: 'PAY_PER_REQUEST',
        SSESpecification: { SSEEnabled: true },
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        DeletionProtectionEnabled: true,
        StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
        TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
        KeySchema: [{ AttributeName: 'pk' }, { AttributeName: 'sk' }],
      });
      const indexes = properties.GlobalSecondaryIndexes;
      expect(indexes.map((index: { KeySchema: unknown }) => index.KeySchema)).toMatchObject([
        [{ AttributeName: 'g1pk' }, { AttributeName: 'g1sk' }],
        [{ AttributeName: 'g2pk' }, { AttributeName: 'g2sk' }],
      ]);
      // Names have 3–255 characters.
      for (const { IndexName } of indexes) expect(IndexName.length).toBeGreaterThanOrEqual(3);
    }
  });

  test('have no data that a stack would delete, unless the settings say so', () => {
    const deletions = (stacks: typeof templates) =>
      ['AWS::DynamoDB::Table', 'AWS::S3::Bucket'].flatMap((type) =>
        Object.values(stacks).flatMap((stack) => Object.values(stack.findResources(type)).map((r) => r.DeletionPolicy)),
      );
    expect(new Set(deletions(templates))).toEqual(new Set(['Retain']));
    expect(new Set(deletions(synthesize({ context: { keepData: false } }).templates))).toEqual(new Set(['Delete']));
  });
});

describe('bucket', () => {
  test('is private, encrypted, and takes TLS alone', () => {
    expect(of('AWS::S3::Bucket')).toHaveLength(1);
    expect(one('AWS::S3::Bucket')).toMatchObject({
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
      },
    });
    templates['millrace-foundation']?.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({
            Effect: 'Deny',
            Action: 's3:*',
            Principal: { AWS: '*' },
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          }),
        ]),
      },
    });
  });

  test('lets pages of any site use presigned URLs, and read what they need of the answer', () => {
    expect(one('AWS::S3::Bucket').CorsConfiguration.CorsRules).toMatchObject([
      {
        AllowedOrigins: ['*'],
        AllowedMethods: ['PUT', 'GET', 'HEAD'],
        ExposedHeaders: expect.arrayContaining(['ETag', 'x-amz-checksum-crc64nvme']),
      },
    ]);
  });

  test('aborts an upload that was forgotten, a day after its session has ended', () => {
    expect(one('AWS::S3::Bucket').LifecycleConfiguration.Rules).toMatchObject([
      { AbortIncompleteMultipartUpload: { DaysAfterInitiation: 8 }, Status: 'Enabled' },
    ]);
  });
});

describe('a key of the account', () => {
  test('encrypts the bucket and the tables, when the settings name one', () => {
    const kmsKeyArn = 'arn:aws:kms:us-east-1:111111111111:key/00000000-0000-0000-0000-000000000000';
    const { templates: stacks } = synthesize({ context: { kmsKeyArn } });
    const [bucket] = resourcesOf(stacks, 'AWS::S3::Bucket');
    expect(bucket?.properties.BucketEncryption.ServerSideEncryptionConfiguration).toMatchObject([
      { BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: kmsKeyArn } },
    ]);
    for (const { properties } of resourcesOf(stacks, 'AWS::DynamoDB::Table')) {
      expect(properties.SSESpecification).toEqual({ SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: kmsKeyArn });
    }
  });
});

describe('queues', () => {
  const queues = of('AWS::SQS::Queue');
  const ofConsumers = queues.filter(({ properties }) => properties.RedrivePolicy);
  const idOf = ({ id }: { id: string }) => id.split('/')[1];

  test('are encrypted, and take TLS alone', () => {
    for (const { properties } of queues) expect(properties.SqsManagedSseEnabled).toBe(true);
    const policies = of('AWS::SQS::QueuePolicy');
    expect(policies).toHaveLength(queues.length);
    for (const { properties } of policies) {
      expect(properties.PolicyDocument.Statement).toContainEqual(
        expect.objectContaining({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
      );
    }
  });

  test('are one for each consumer of events, with six times its time, a dead-letter queue and an alarm on that', () => {
    expect(ofConsumers).toHaveLength(consuming.length);
    const alarms = of('AWS::CloudWatch::Alarm').map(({ properties }) => JSON.stringify(properties.Dimensions ?? []));
    for (const { name, consumes } of consuming) {
      const own = ofConsumers.filter(({ id }) => id.startsWith(`${stackOf(name)}/`));
      const queue = own.find(
        ({ properties }) => properties.VisibilityTimeout === 6 * (consumes?.timeoutSeconds ?? 60),
      )?.properties;
      expect(queue?.RedrivePolicy, name).toMatchObject({ maxReceiveCount: 10 });
      const [deadLetters] = queue?.RedrivePolicy.deadLetterTargetArn['Fn::GetAtt'] ?? [];
      expect(queues.map(idOf)).toContain(deadLetters);
      expect(alarms.some((dimensions) => dimensions.includes(`"${deadLetters}"`))).toBe(true);
    }
  });

  test('of dead letters keep them for 14 days, longer than the queues that they come from', () => {
    const ofDeadLetters = queues.filter((queue) => !ofConsumers.includes(queue));
    expect(ofDeadLetters).toHaveLength(withDeadLetters.size + consuming.length);
    for (const { properties } of ofDeadLetters) expect(properties.MessageRetentionPeriod).toBe(14 * 86_400);
    for (const { properties } of ofConsumers) expect(properties.MessageRetentionPeriod).toBeLessThan(14 * 86_400);
  });
});

describe('dead letters', () => {
  test('are all events that a rule cannot deliver', () => {
    const targets = of('AWS::Events::Rule').flatMap(({ properties }) => properties.Targets);
    // The other one settles.
    expect(targets).toHaveLength(schedules.length + 1);
    for (const target of targets) expect(target.DeadLetterConfig).toEqual({ Arn: expect.anything() });
  });

  test('are all ends of executions that could not be settled; what runs on a schedule is not repeated', () => {
    const configs = of('AWS::Lambda::EventInvokeConfig').map(({ properties }) => ({
      retries: properties.MaximumRetryAttempts,
      destination: properties.DestinationConfig?.OnFailure.Destination,
    }));
    const scheduled = { retries: 0, destination: undefined };
    const settle = { retries: undefined, destination: expect.anything() };
    const byRetries = (a: typeof scheduled, b: typeof scheduled) => Number(a.retries ?? 9) - Number(b.retries ?? 9);
    expect(configs.sort(byRetries)).toEqual([...schedules.map(() => scheduled), settle]);
  });
});

describe('alarms', () => {
  const runbook = readFileSync('docs/runbook.md', 'utf8');
  const anchors = [...runbook.matchAll(/^## (.+)\n\*\*Meaning\.\*\*/gm)].map(([, heading = '']) =>
    heading.toLowerCase().replace(/ /g, '-'),
  );
  const alarms = of('AWS::CloudWatch::Alarm').map(({ properties }) => properties);

  test('link a heading of the runbook each, and every heading has its alarm', () => {
    const linked = alarms.map(
      ({ AlarmDescription: text }) => /\. What to do: docs\/runbook\.md#(\S+)$/.exec(text)?.[1],
    );
    expect([...new Set(linked)].sort()).toEqual(anchors.sort());
    expect(new Set(alarms.map(({ AlarmName }) => AlarmName)).size).toBe(alarms.length);
  });

  test('M8 go off by one job that failed for good', () => {
    expect(alarms.find(({ AlarmName }) => AlarmName === 'millrace-jobs-failed')).toMatchObject({
      Namespace: 'millrace',
      MetricName: 'JobsFailed',
      Statistic: 'Sum',
      Threshold: 1,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      TreatMissingData: 'notBreaching',
    });
    const environments = of('AWS::Lambda::Function')
      .filter(({ id }) => id.startsWith('millrace-jobs/'))
      .map(({ properties }) => properties.Environment.Variables);
    // Any of them may end a job.
    for (const { METRICS_NAMESPACE } of environments) expect(METRICS_NAMESPACE).toBe('millrace');
  });

  test('go off when reconcile does not run at all', () => {
    expect(alarms.find(({ AlarmName }) => AlarmName === 'millrace-jobs-reconcile-stopped')).toMatchObject({
      MetricName: 'Invocations',
      TreatMissingData: 'breaching',
    });
  });

  test('tell the topic of the settings, or nobody', () => {
    expect(alarms.some(({ AlarmActions }) => AlarmActions)).toBe(false);
    const alarmTopicArn = 'arn:aws:sns:us-east-1:111111111111:operators';
    const { templates: told } = synthesize({ context: { alarmTopicArn } });
    for (const { properties } of resourcesOf(told, 'AWS::CloudWatch::Alarm')) {
      expect(properties).toMatchObject({ AlarmActions: [alarmTopicArn], OKActions: [alarmTopicArn] });
    }
  });
});

describe('functions', () => {
  const mappings = of('AWS::Lambda::EventSourceMapping');

  test('run on arm64 and Node.js 24, are traced, and write to a log with an end', () => {
    const functions = of('AWS::Lambda::Function');
    const ofContexts = withRoutes.length + withFeed.length + consuming.length + schedules.length;
    // One settles jobs, one publishes events, one answers the WebSocket.
    expect(functions).toHaveLength(ofContexts + 3 + tasks.length);
    for (const { properties } of functions) {
      expect(properties).toMatchObject({
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
        TracingConfig: { Mode: 'Active' },
        LoggingConfig: { LogGroup: { Ref: expect.any(String) } },
      });
    }
    for (const { properties } of of('AWS::Logs::LogGroup')) expect(properties.RetentionInDays).toBe(30);
  });

  test('that answer requests give up before API Gateway does', () => {
    const apis = of('AWS::Lambda::Function').filter(({ properties }) => properties.Description.startsWith('API:'));
    expect(apis).toHaveLength(withRoutes.length);
    for (const { properties } of apis) expect(properties.Timeout).toBeLessThan(29);
  });

  test('of tasks have the memory and time that the contract says', () => {
    for (const { name, tasks } of Object.values(workflows)) {
      for (const [state, task] of Object.entries(tasks)) {
        templates[`millrace-workflow-${name}`]?.hasResourceProperties('AWS::Lambda::Function', {
          Description: `${name}: ${state}`,
          MemorySize: task.memoryMiB ?? 1_024,
          Timeout: task.timeoutSeconds ?? 300,
        });
      }
    }
  });

  test('that read the changes of a table report which failed, and leave hopeless ones in a queue', () => {
    const ofTables = mappings.filter(({ properties }) => properties.StartingPosition);
    for (const { properties } of ofTables) {
      expect(properties).toMatchObject({
        BisectBatchOnFunctionError: true,
        FunctionResponseTypes: ['ReportBatchItemFailures'],
        MaximumRetryAttempts: 10,
        StartingPosition: 'TRIM_HORIZON',
        DestinationConfig: { OnFailure: { Destination: expect.anything() } },
      });
    }
    expect(mappings).toHaveLength(ofTables.length + consuming.length);
  });

  test('read the changes of a table two at most: the feed of its context, and the publisher of events', () => {
    const readers = mappings.flatMap(({ id, properties }) => {
      const table = tableIds(properties.EventSourceArn)[0];
      const reader = `${id.split('/')[0]}/${properties.FunctionName.Ref.replace(/[0-9A-F]{8}$/, '')}`;
      return table ? [`${table} → ${reader}`] : [];
    });
    const feeds: Readonly<Record<string, string>> = { webhooks: 'Live → millrace-live/Send' };
    const expected = [
      ...withFeed.map(({ name }) => feeds[name] ?? `${capitalized(name)} → ${stackOf(name)}/Feed`),
      ...(live.reads ?? []).map((name) => `${capitalized(name)} → millrace-live/Feed`),
    ];
    expect(readers.sort()).toEqual(expected.sort());
    const tables = readers.map((reader) => reader.split(' ')[0]);
    for (const table of tables) expect(tables.filter((each) => each === table).length).toBeLessThanOrEqual(2);
  });

  test('that consume events report which failed', () => {
    const ofQueues = mappings.filter(({ properties }) => !properties.StartingPosition);
    for (const { properties } of ofQueues) {
      expect(properties).toMatchObject({ BatchSize: 10, FunctionResponseTypes: ['ReportBatchItemFailures'] });
    }
  });
});

describe('permissions', () => {
  interface Statement {
    Effect: string;
    Action: string | string[];
    Resource: unknown;
  }
  const statements = of('AWS::IAM::Policy').flatMap(({ id, properties }) =>
    properties.PolicyDocument.Statement.map((statement: Statement) => ({ id, ...statement })),
  );
  const actionsOf = ({ Action }: Statement) => [Action].flat();

  test('name every action', () => {
    expect(statements.filter((statement) => actionsOf(statement).some((action) => action.includes('*')))).toEqual([]);
  });

  test('are for single resources, where AWS has those', () => {
    const wide = statements.filter(({ Resource }) => [Resource].flat().includes('*')).flatMap(actionsOf);
    const withoutResources = /^(xray:|dynamodb:ListStreams$|logs:.*(LogDeliver|ResourcePolic|LogGroups))/;
    expect(wide.filter((action) => !withoutResources.test(action))).toEqual([]);
  });

  test("to write a table are with its context alone, and with tasks: for the jobs' ledger and their own context", () => {
    const writes = statements.filter((statement) => actionsOf(statement).includes('dynamodb:PutItem'));
    const written = writes.flatMap(({ id, Resource }) => {
      const tables = tableIds(Resource);
      return (tables.length > 0 ? tables : ['unknown']).map((table) => `${id.split('/')[0]}: ${table}`);
    });
    // Ids that are older than their contexts.
    const ids: Readonly<Record<string, string>> = { webhooks: 'Live', live: 'Connections' };
    const allowed = [
      ...withTable.map(({ name }) => `${stackOf(name)}: ${ids[name] ?? capitalized(name)}`),
      ...Object.values<WorkflowEntry>(workflows).flatMap(({ name, context }) =>
        ['jobs', ...(context ? [context] : [])].map((table) => `millrace-workflow-${name}: ${capitalized(table)}`),
      ),
    ];
    expect([...new Set(written)].sort()).toEqual(allowed.sort());
  });

  test('to sign URLs are a role of its own, which can put and get objects and nothing else', () => {
    const signers = statements.filter(({ id }) => id.includes('Signing'));
    expect(new Set(signers.flatMap(actionsOf))).toEqual(new Set(['s3:GetObject', 's3:PutObject']));
  });

  test('to start executions are not with any API', () => {
    const starters = statements.filter((statement) => actionsOf(statement).includes('states:StartExecution'));
    expect(starters.map(({ id }) => id.replace(/RoleDefault.*/, '')).sort()).toEqual(
      ['Feed', 'Reconcile', 'Settle'].map((name) => `millrace-jobs/${name}`),
    );
  });

  test('use no managed policy but the one that API Gateway asks for', () => {
    const managed = of('AWS::IAM::Role').filter(({ properties }) => properties.ManagedPolicyArns);
    expect(managed.map(({ id }) => id)).toEqual([expect.stringContaining('CloudWatchRole')]);
  });
});

describe('access logs', () => {
  test('may be written before the first stage is made, that of the WebSocket API included', () => {
    const [account] = of('AWS::ApiGateway::Account');
    expect(account?.id).toContain('millrace-foundation/');
    const foundation = app.node.findChild('millrace-foundation');
    const logging = Object.keys(templates).filter((stack) =>
      ['AWS::ApiGateway::Stage', 'AWS::ApiGatewayV2::Stage'].some(
        (type) => Object.keys(templates[stack]?.findResources(type) ?? {}).length > 0,
      ),
    );
    expect(logging.sort()).toEqual(['millrace-edge', 'millrace-live']);
    for (const name of logging) expect((app.node.findChild(name) as Stack).dependencies).toContain(foundation);
  });
});

describe('API', () => {
  const resources = Object.fromEntries(
    of('AWS::ApiGateway::Resource').map(({ id, properties }) => [id.split('/')[1], properties]),
  );
  const pathOf = ({ Ref: id }: { Ref?: string }): string => {
    const resource = id ? resources[id] : undefined;
    return resource ? `${pathOf(resource.ParentId)}/${resource.PathPart}` : '';
  };
  const methods = of('AWS::ApiGateway::Method').map(({ properties }) => ({
    route: `${properties.HttpMethod} ${pathOf(properties.ResourceId)}`,
    uri: JSON.stringify(properties.Integration.Uri),
  }));
  const contract = declared.flatMap(({ routes: own }) => Object.values(own));

  test('has the routes of the contract and no others, each with its context', () => {
    const proxied = methods.filter(({ route }) => !route.startsWith('OPTIONS '));
    expect(proxied.map(({ route }) => route).sort()).toEqual(
      contract.map(({ method, path }) => `${method} ${path}`).sort(),
    );
    for (const { name, routes: own } of declared) {
      for (const { method, path } of Object.values(own)) {
        expect(proxied.find(({ route }) => route === `${method} ${path}`)?.uri).toContain(`${stackOf(name)}:Exports`);
      }
    }
  });

  test('answers a preflight request on every path', () => {
    const preflights = methods.filter(({ route }) => route.startsWith('OPTIONS ')).map(({ route }) => route.slice(8));
    expect(preflights.sort()).toEqual([...new Set(contract.map(({ path }) => path))].sort());
  });

  test("answers for itself with the contract's error body", () => {
    const answers = Object.fromEntries(
      of('AWS::ApiGateway::GatewayResponse').map(({ properties }) => [properties.ResponseType, properties]),
    );
    const codes = {
      MISSING_AUTHENTICATION_TOKEN: 'RouteNotFoundError',
      ACCESS_DENIED: 'ForbiddenError',
      REQUEST_TOO_LARGE: 'PayloadTooLargeError',
      THROTTLED: 'TooManyRequestsError',
      INTEGRATION_TIMEOUT: 'GatewayTimeoutError',
    } as const;
    for (const [type, code] of Object.entries(codes)) {
      expect(answers[type]?.StatusCode).toBe(String(ERRORS[code].status));
      expect(JSON.parse(answers[type]?.ResponseTemplates['application/json'])).toEqual({
        error: code,
        message: ERRORS[code].meaning,
        details: {},
        request_id: '$context.requestId',
      });
    }
    for (const { properties } of of('AWS::ApiGateway::GatewayResponse')) {
      expect(properties.ResponseParameters['gatewayresponse.header.Access-Control-Allow-Origin']).toBe("'*'");
    }
  });

  test('may call each function by one permission', () => {
    expect(of('AWS::Lambda::Permission').filter(({ id }) => id.startsWith('millrace-edge'))).toHaveLength(
      withRoutes.length,
    );
  });
});

test('a status change of our state machines, and of no others, settles a job', () => {
  const rule = of('AWS::Events::Rule').find(({ properties }) => properties.EventPattern)?.properties;
  expect(rule.EventPattern).toMatchObject({
    source: ['aws.states'],
    detail: { status: ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED'] },
  });
  const machines = JSON.stringify(rule.EventPattern.detail.stateMachineArn);
  for (const name of Object.keys(workflows)) expect(machines).toContain(`:stateMachine:millrace-${name}"`);
});

test('no stack has a custom resource', () => {
  const types = Object.values(templates).flatMap((template) =>
    Object.values(template.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type),
  );
  expect(types.filter((type) => type.startsWith('Custom::') || type.includes('CustomResource'))).toEqual([]);
});

describe('settings', () => {
  test('are each explained by --help, with their defaults', () => {
    const help = settingsHelp();
    expect(help).toContain(
      '  runningJobsPerTenant (default: 20)\n      jobs that one tenant may run at the same time\n',
    );
    expect(help).toContain('  kmsKeyArn (default: none)\n');
    expect(help).not.toContain('undefined');
  });

  test('name every stack and state machine, and the namespace of metrics', () => {
    const { templates: renamed } = synthesize({ context: { prefix: 'blue' } });
    expect(Object.keys(renamed).every((name) => name.startsWith('blue-'))).toBe(true);
    expect(resourcesOf(renamed, 'AWS::StepFunctions::StateMachine')[0]?.properties.StateMachineName).toMatch(/^blue-/);
    const functions = resourcesOf(renamed, 'AWS::Lambda::Function').map(({ properties }) => properties);
    expect(functions.find(({ Description }) => Description.startsWith('Expires sessions'))).toMatchObject({
      Environment: { Variables: { METRICS_NAMESPACE: 'blue' } },
    });
  });

  test('given as text or as JSON mean the same', () => {
    const issuer = { issuer: 'https://id.example.com/', audience: 'millrace' };
    const environments = [[issuer], JSON.stringify([issuer])].map((issuers) => {
      const quotas = typeof issuers === 'string' ? '{"open_sessions":7}' : { open_sessions: 7 };
      const { templates: stacks } = synthesize({
        context: { issuers, runningJobsPerTenant: '5', retryDelaySeconds: '0.5', quotas },
      });
      return resourcesOf(stacks, 'AWS::Lambda::Function').map(({ properties }) => properties.Environment.Variables);
    });
    expect(environments[0]).toEqual(environments[1]);
    expect(environments[0]).toContainEqual(expect.objectContaining({ ISSUERS: JSON.stringify([issuer]) }));
    expect(environments[0]).toContainEqual(
      expect.objectContaining({ RUNNING_JOBS_PER_TENANT: '5', RETRY_DELAY_SECONDS: '0.5' }),
    );
    const quotas = { ...DEFAULT_QUOTAS, open_sessions: 7 };
    expect(environments[0]).toContainEqual(
      expect.objectContaining({ QUOTAS: JSON.stringify(quotas), DELETED_FILE_DAYS: '7' }),
    );
  });

  test.each([
    { runingJobsPerTenant: 5 },
    { prefix: 'Not valid' },
    { runningJobsPerTenant: 0 },
    { retryDelaySeconds: 0 },
    { issuers: 'x' },
    { quotas: { files: 1 } },
  ])('that are wrong stop the synthesis: %o', (context) => {
    expect(() => synthesize({ context })).toThrow(Object.keys(context)[0]);
  });
});

function capitalized(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** The construct ids of the tables whose ARNs a template's value names; one statement may be for several. */
function tableIds(value: unknown): string[] {
  const found = JSON.stringify(value).match(/[A-Z][A-Za-z]*(?=Table[0-9A-F]{8})/g) ?? [];
  // Those of other stacks are named by their exports.
  return found.map((id) => id.replace(/.*(Ref|GetAtt)/, ''));
}
