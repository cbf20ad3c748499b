import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { afterAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { context } from '../../contract/context.ts';
import { route } from '../../contract/routes/route.ts';
import { readSettings } from '../../lib/settings.ts';
import { ContextStack } from '../../lib/stacks/context-stack.ts';
import { FoundationStack } from '../../lib/stacks/foundation-stack.ts';

const listNotes = route({
  method: 'GET',
  path: '/notes',
  summary: 'List notes',
  auth: 'jobs:read',
  responses: { 200: z.object({}) },
  errors: [],
});

const notes = context({
  name: 'side-notes',
  description: 'Notes.',
  routes: { listNotes },
  api: { memoryMiB: 1_024 },
  table: {},
  feed: { description: 'Follows notes', prefixes: ['NOTE#'] },
  reads: ['authors'],
  consumes: { description: 'Notes what was uploaded', types: ['upload.completed'], timeoutSeconds: 20 },
  schedules: { tidy: { description: 'Tidies up', everySeconds: 120, timeoutSeconds: 100 } },
  settings: ['deletedFileDays'],
});
const authors = context({ name: 'authors', description: 'Authors.', routes: {}, table: {} });
const echo = context({ name: 'echo', description: 'Answers.', routes: { listNotes } });

describe('the stack of a context', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'millrace-context-'));
  afterAll(() => rmSync(outdir, { recursive: true }));
  const app = new App({ outdir, context: { 'aws:cdk:bundling-stacks': [] } });
  const settings = readSettings(new App());
  const foundation = new FoundationStack(app, 'millrace-foundation', settings);
  const read = new ContextStack(app, 'millrace-authors', { settings, foundation, context: authors, reads: {} });
  const stack = new ContextStack(app, 'millrace-side-notes', {
    settings,
    foundation,
    context: notes,
    reads: { authors: read.resources.table },
  });
  const withoutTable = new ContextStack(app, 'millrace-echo', { settings, foundation, context: echo, reads: {} });
  withoutTable.services.allow(withoutTable.resources.function('api').role, withoutTable);
  const template = Template.fromStack(stack);
  const functions = Object.entries(template.findResources('AWS::Lambda::Function')).map(
    ([id, { Properties }]) => [id.replace(/[0-9A-F]{8}$/, ''), Properties] as const,
  );

  test('has its table, and a function for each part that it declares, of the size that it declares', () => {
    expect(Object.keys(template.findResources('AWS::DynamoDB::Table'))).toEqual([
      expect.stringMatching(/^SideNotesTable/),
    ]);
    const sizes = functions.map(([id, { MemorySize, Timeout }]) => [id, MemorySize, Timeout]);
    expect(sizes).toEqual([
      ['Api', 1_024, 28],
      ['Feed', 512, 60],
      ['Consumer', 512, 20],
      ['Tidy', 512, 100],
    ]);
  });

  test('gives each function the tables, the settings and the namespace of metrics by its environment', () => {
    for (const [id, { Environment }] of functions) {
      expect(Object.keys(Environment.Variables), id).toEqual(
        expect.arrayContaining(['SIDE_NOTES_TABLE', 'AUTHORS_TABLE', 'DELETED_FILE_DAYS', 'METRICS_NAMESPACE']),
      );
      expect('IDENTITY_TABLE' in Environment.Variables, id).toBe(id === 'Api');
    }
  });

  test('lets each function write its own table, and read those that it declares', () => {
    const policies = Object.entries(template.findResources('AWS::IAM::Policy')).map(([id, { Properties }]) => {
      const statements: { Action: string | string[]; Resource: unknown }[] = Properties.PolicyDocument.Statement;
      const allowed = (action: string) =>
        statements
          .filter(({ Action }) => [Action].flat().includes(action))
          .flatMap(({ Resource }) => JSON.stringify(Resource).match(/SideNotesTable|AuthorsTable|IdentityTable/g));
      return [id.replace(/Role.*/, ''), new Set(allowed('dynamodb:Query')), new Set(allowed('dynamodb:PutItem'))];
    });
    const own = new Set(['SideNotesTable']);
    const both = new Set(['SideNotesTable', 'AuthorsTable']);
    expect(policies).toEqual(['Api', 'Feed', 'Consumer', 'Tidy'].map((id) => [id, both, own]));
  });

  test('runs them by changes of its rows, events of its types and the clock', () => {
    const mappings = Object.values(template.findResources('AWS::Lambda::EventSourceMapping'));
    expect(mappings.map(({ Properties }) => Properties.FunctionName.Ref.replace(/[0-9A-F]{8}$/, '')).sort()).toEqual([
      'Consumer',
      'Feed',
    ]);
    template.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      FilterCriteria: { Filters: [{ Pattern: Match.stringLikeRegexp('NOTE#') }] },
    });
    template.hasResourceProperties('AWS::SQS::Queue', { VisibilityTimeout: 120 });
    template.hasResourceProperties('AWS::Events::Rule', { ScheduleExpression: 'rate(2 minutes)' });
  });

  test('has an alarm on what could not be delivered, and on what its consumer could not take', () => {
    const names = Object.values(template.findResources('AWS::CloudWatch::Alarm')).map(
      ({ Properties }) => Properties.AlarmName,
    );
    expect(names.sort()).toEqual(['millrace-side-notes-dead-letters', 'millrace-side-notes-events-dead-letters']);
  });

  test('has no table unless the context declares one, for tasks of its workflows either', () => {
    expect(withoutTable.services.environment).toEqual({});
    Template.fromStack(withoutTable).resourceCountIs('AWS::DynamoDB::Table', 0);
  });

  test('has no function and no queue that the context does not declare', () => {
    const types = Object.values(Template.fromStack(read).toJSON().Resources as Record<string, { Type: string }>);
    expect(types.map(({ Type }) => Type)).toEqual(['AWS::DynamoDB::Table']);
  });

  test('gives cdk-nag nothing to find', () => {
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  });
});
