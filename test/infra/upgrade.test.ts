import { describe, expect, test } from 'vitest';
import { synthesize } from './synth.ts';

const { templates } = synthesize();

/** Stack and logical id of all that holds data, as they were deployed with data version 1: another id is another, empty resource. */
const HOLDS_DATA = [
  ['AWS::DynamoDB::Table', 'millrace-foundation', 'IdentityTableE9A3D52B'],
  ['AWS::S3::Bucket', 'millrace-foundation', 'Data666C94C7'],
  ['AWS::SecretsManager::Secret', 'millrace-foundation', 'RootSecretD303C2C8'],
  ['AWS::DynamoDB::Table', 'millrace-uploads', 'UploadsTable96857CE8'],
  ['AWS::DynamoDB::Table', 'millrace-publishing', 'PublishingTableFCA316D8'],
  ['AWS::DynamoDB::Table', 'millrace-jobs', 'JobsTable10C8EDF6'],
  ['AWS::DynamoDB::Table', 'millrace-live', 'LiveTable5E195196'],
] as const;

/**
 * The readers of streams. Each keeps its place in its stream; one of another id begins an hour back and repeats what
 * happened since, to webhooks too.
 */
const READERS = [
  ['millrace-uploads', 'FeedDynamoDBEventSourcemillraceuploadsUploadsTable22A038407309892E'],
  ['millrace-jobs', 'FeedDynamoDBEventSourcemillracejobsJobsTableF5A54FF8A57F1CCB'],
  ['millrace-live', 'FeedDynamoDBEventSourcemillraceuploadsUploadsTable22A038407309892E'],
  ['millrace-live', 'FeedDynamoDBEventSourcemillracejobsJobsTableF5A54FF8A57F1CCB'],
  ['millrace-live', 'SendDynamoDBEventSourcemillraceliveLiveTable2A717E0A17911F5C'],
] as const;

/**
 * What a stack of data version 1 imports from another: the values by their names. The stacks that export them are
 * updated first, and CloudFormation refuses an update that takes an export away, or changes it, while it is imported:
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html
 */
const IMPORTED = {
  'millrace-foundation': {
    ExportsOutputFnGetAttData666C94C7Arn0D7E21B7: ['Data666C94C7', 'Arn'],
    ExportsOutputRefData666C94C774A46B8E: 'Data666C94C7',
    ExportsOutputFnGetAttIdentityTableE9A3D52BArn84F081AC: ['IdentityTableE9A3D52B', 'Arn'],
    ExportsOutputRefIdentityTableE9A3D52B380A3CAD: 'IdentityTableE9A3D52B',
    ExportsOutputFnGetAttBusEA82B648ArnBC65BB77: ['BusEA82B648', 'Arn'],
    ExportsOutputRefBusEA82B6486A28F94F: 'BusEA82B648',
    ExportsOutputFnGetAttIdentityApi891E396AArnBE9D5E44: ['IdentityApi891E396A', 'Arn'],
  },
  'millrace-uploads': {
    ExportsOutputFnGetAttUploadsTable96857CE8Arn3B8B92DE: ['UploadsTable96857CE8', 'Arn'],
    ExportsOutputRefUploadsTable96857CE891A464A9: 'UploadsTable96857CE8',
    ExportsOutputFnGetAttUploadsTable96857CE8StreamArn020138AF: ['UploadsTable96857CE8', 'StreamArn'],
    ExportsOutputFnGetAttApiF70053CDArnEFE31522: ['ApiF70053CD', 'Arn'],
  },
  'millrace-publishing': {
    ExportsOutputFnGetAttPublishingTableFCA316D8Arn42BEAFAD: ['PublishingTableFCA316D8', 'Arn'],
    ExportsOutputRefPublishingTableFCA316D861B66678: 'PublishingTableFCA316D8',
    ExportsOutputFnGetAttApiF70053CDArnEFE31522: ['ApiF70053CD', 'Arn'],
  },
  'millrace-jobs': {
    ExportsOutputFnGetAttJobsTable10C8EDF6StreamArnE95849ED: ['JobsTable10C8EDF6', 'StreamArn'],
    ExportsOutputFnGetAttJobsTable10C8EDF6ArnA5F1B7F3: ['JobsTable10C8EDF6', 'Arn'],
    ExportsOutputRefJobsTable10C8EDF6FB8FEC7A: 'JobsTable10C8EDF6',
    ExportsOutputFnGetAttApiF70053CDArnEFE31522: ['ApiF70053CD', 'Arn'],
  },
  'millrace-live': {
    ExportsOutputFnGetAttApiF70053CDArnEFE31522: ['ApiF70053CD', 'Arn'],
  },
} as const;

describe('a deployment of data version 1 that is updated', () => {
  test.each(HOLDS_DATA)('keeps %s %s/%s', (type, stack, id) => {
    expect(Object.keys(templates[stack]?.findResources(type) ?? {})).toContain(id);
  });

  test.each(READERS)('keeps the reader %s/%s at its place', (stack, id) => {
    expect(Object.keys(templates[stack]?.findResources('AWS::Lambda::EventSourceMapping') ?? {})).toContain(id);
  });

  test.each(Object.entries(IMPORTED))(
    'goes on exporting from %s what stacks import that are updated later',
    (stack, values) => {
      const outputs = Object.values(templates[stack]?.toJSON().Outputs ?? {}) as {
        Value: unknown;
        Export?: { Name: string };
      }[];
      const exported = Object.fromEntries(outputs.map(({ Value, Export }) => [Export?.Name, Value]));
      const expected = Object.entries(values).map(([name, value]) => [
        `${stack}:${name}`,
        typeof value === 'string' ? { Ref: value } : { 'Fn::GetAtt': value },
      ]);
      expect(exported).toMatchObject(Object.fromEntries(expected));
    },
  );
});
