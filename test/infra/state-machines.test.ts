import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import aslValidator from 'asl-validator';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { afterAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { workflows } from '../../contract/workflows.ts';
import { Workflow } from '../../lib/constructs/workflow.ts';
import { readSettings } from '../../lib/settings.ts';

interface State {
  Comment?: string;
  Type: string;
  TimeoutSeconds?: number;
  MaxConcurrency?: number;
  Retry?: { Comment?: string; ErrorEquals: string[] }[];
  ItemProcessor?: Machine;
  Branches?: Machine[];
}
interface Machine {
  StartAt: string;
  States: Record<string, State>;
}

const folder = 'statemachines';

/** Every state by name, those inside of Map and Parallel states included. */
function statesOf(machine: Machine): [string, State][] {
  return Object.entries(machine.States).flatMap(([name, state]) => [
    [name, state],
    ...[state.ItemProcessor, ...(state.Branches ?? [])].flatMap((inner) => (inner ? statesOf(inner) : [])),
  ]);
}

test('every workflow has a state machine, and every state machine a workflow', () => {
  expect(readdirSync(folder).sort()).toEqual(
    Object.keys(workflows)
      .map((name) => `${name}.asl.json`)
      .sort(),
  );
});

describe.each(Object.values(workflows))('$name', ({ name, tasks }) => {
  const machine = JSON.parse(readFileSync(join(folder, `${name}.asl.json`), 'utf8'));
  const states = statesOf(machine);
  const taskStates = states.filter(([, { Type }]) => Type === 'Task');

  test('is valid Amazon States Language', () => {
    const { isValid, errorsText } = aslValidator(machine);
    expect(isValid ? '' : errorsText('\n')).toBe('');
  });

  test('says of every state what it does', () => {
    expect(states.filter(([, { Comment }]) => !Comment).map(([state]) => state)).toEqual([]);
  });

  test('has the Task states of the contract, each with more time than its Lambda', () => {
    expect(taskStates.map(([state]) => state).sort()).toEqual(Object.keys(tasks).sort());
    for (const [state, { TimeoutSeconds }] of taskStates) {
      expect(TimeoutSeconds).toBeGreaterThan(tasks[state]?.timeoutSeconds ?? 300);
    }
  });

  test('says of every Retry how long it may take in all', () => {
    const retries = states.flatMap(([state, { Retry = [] }]) => Retry.map(({ Comment = '' }) => ({ state, Comment })));
    expect(retries.length).toBeGreaterThan(0);
    expect(retries.filter(({ Comment }) => !/\d+ (s|min|h) in all/.test(Comment))).toEqual([]);
  });

  test('has each task taken up again when its process died, and when a dead one still holds its lease', () => {
    for (const [state, { Retry = [] }] of taskStates) {
      const names = Retry.flatMap(({ ErrorEquals }) => ErrorEquals);
      expect(names, state).toEqual(expect.arrayContaining(['Runtime.ExitError', 'Lambda.Unknown', 'TaskBusyError']));
    }
  });

  test('runs at most 40 iterations of a Map at once, which is what Step Functions allows', () => {
    for (const [, { MaxConcurrency }] of states.filter(([, { Type }]) => Type === 'Map')) {
      expect(MaxConcurrency).toBeGreaterThan(0);
      expect(MaxConcurrency).toBeLessThanOrEqual(40);
    }
  });
});

describe('the placeholders of a definition', () => {
  const temporary = mkdtempSync(join(tmpdir(), 'millrace-asl-'));
  afterAll(() => rmSync(temporary, { recursive: true }));

  function addWorkflow(placeholders: string[], states: string[]): Template {
    const definitionFile = join(temporary, 'tiny.asl.json');
    writeFileSync(definitionFile, JSON.stringify({ Comment: placeholders.map((name) => `\${${name}}`).join() }));
    const app = new App({ outdir: join(temporary, 'assembly') });
    const stack = new Stack(app, 'Tiny');
    const arn = (state: string) => `arn:aws:lambda:us-east-1:111111111111:function:${state}`;
    const tasks = Object.fromEntries(
      states.map((state) => [state, LambdaFunction.fromFunctionArn(stack, state, arn(state))]),
    );
    new Workflow(stack, 'Workflow', { settings: readSettings(app), stateMachineName: 'tiny', definitionFile, tasks });
    return Template.fromStack(stack);
  }

  test('stand for the Lambdas of its tasks, which it alone may invoke', () => {
    const template = addWorkflow(['GreetFunctionArn'], ['Greet']);
    const arn = 'arn:aws:lambda:us-east-1:111111111111:function:Greet';
    template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      StateMachineName: 'tiny',
      DefinitionSubstitutions: { GreetFunctionArn: arn },
      LoggingConfiguration: { Level: 'ERROR' },
      TracingConfiguration: { Enabled: true },
    });
    const { Statement } = z
      .object({ Statement: z.array(z.object({ Action: z.unknown(), Resource: z.unknown() })) })
      .parse(Object.values(template.findResources('AWS::IAM::Policy'))[0]?.Properties.PolicyDocument);
    expect(Statement.filter(({ Action }) => Action === 'lambda:InvokeFunction')).toEqual([
      expect.objectContaining({ Resource: arn }),
    ]);
  });

  test('stop the synthesis when one has no task', () => {
    expect(() => addWorkflow(['GreetFunctionArn', 'GrettFunctionArn'], ['Greet'])).toThrow(
      `tiny.asl.json: \${GrettFunctionArn} has no task in the contract`,
    );
  });

  test('stop the synthesis when a task has none', () => {
    expect(() => addWorkflow(['GreetFunctionArn'], ['Greet', 'Leave'])).toThrow(
      `tiny.asl.json: \${LeaveFunctionArn} is nowhere in the file`,
    );
  });
});
