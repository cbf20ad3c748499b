import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import aslValidator from 'asl-validator';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { afterAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import * as workflows from '../../contract/workflows.ts';
import { LEASE_MS } from '../../lambdas/jobs/leases.ts';
import { Workflow } from '../../lib/constructs/workflow.ts';
import { readSettings } from '../../lib/settings.ts';

interface State {
  Comment?: string;
  Type: string;
  TimeoutSeconds?: number;
  MaxConcurrency?: number;
  Retry?: Retrier[];
  ItemProcessor?: Machine;
  Branches?: Machine[];
}
interface Retrier {
  Comment?: string;
  ErrorEquals: string[];
  IntervalSeconds: number;
  BackoffRate: number;
  MaxDelaySeconds: number;
  MaxAttempts: number;
  JitterStrategy?: 'FULL';
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

/** The sum of a retrier's pauses, which full jitter makes any number from 0 on. */
function longestPauses({ IntervalSeconds, BackoffRate, MaxDelaySeconds, MaxAttempts }: Retrier): number {
  const pauses = Array.from({ length: MaxAttempts }, (_, attempt) => IntervalSeconds * BackoffRate ** attempt);
  return pauses.reduce((sum, pause) => sum + Math.min(pause, MaxDelaySeconds), 0);
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

  test('runs at most 40 iterations of a Map at once, which is what Step Functions allows', () => {
    for (const [, { MaxConcurrency }] of states.filter(([, { Type }]) => Type === 'Map')) {
      expect(MaxConcurrency).toBeGreaterThan(0);
      expect(MaxConcurrency).toBeLessThanOrEqual(40);
    }
  });
});

describe.each(globSync(['statemachines/*.asl.json', 'test/fixtures/*/*.asl.json']))('each Retry of %s', (file) => {
  const states = statesOf(JSON.parse(readFileSync(file, 'utf8')));

  test('says how long it may take in all', () => {
    const retriers = states.flatMap(([, { Retry = [] }]) => Retry);
    expect(retriers.length).toBeGreaterThan(0);
    for (const retrier of retriers) expect(retrier.Comment).toContain(`= ${longestPauses(retrier)} s in all`);
  });

  test('takes a task up again when its process died, and outlasts the lease of a dead one, whatever the jitter', () => {
    for (const [state, { Retry = [] }] of states.filter(([, { Type }]) => Type === 'Task')) {
      const names = Retry.flatMap(({ ErrorEquals }) => ErrorEquals);
      expect(names, state).toEqual(expect.arrayContaining(['Runtime.ExitError', 'Lambda.Unknown']));
      for (const error of ['TaskBusyError', 'LeaseLostError']) {
        const retrier = Retry.find(({ ErrorEquals }) => ErrorEquals.includes(error));
        const leastPauses = !retrier || retrier.JitterStrategy === 'FULL' ? 0 : longestPauses(retrier);
        // A lease ends a minute after its last renewal, and a Lambda needs some seconds to start.
        expect(leastPauses * 1_000, `${state}: ${error}`).toBeGreaterThan(2 * LEASE_MS);
      }
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
