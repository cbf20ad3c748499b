import { randomUUID } from 'node:crypto';
import { CreateStateMachineCommand, DeleteStateMachineCommand, SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { executionEndedHandler, SfnWorkflows } from '../../platform/aws/sfn-workflows.ts';
import type { Workflows } from '../../platform/ports/workflows.ts';
import { TASKLESS } from '../support/workflow-machines.ts';
import { ending, openLocalWorld } from '../support/workflow-world.ts';

interface Platform {
  readonly workflows: Workflows;
  close(): Promise<void>;
}

function promises(platform: string, open: () => Promise<Platform>) {
  describe(`workflows on ${platform}`, () => {
    let world: Platform;
    beforeAll(async () => {
      world = await open();
    });
    afterAll(() => world.close());

    const start = async (workflow: string, input: Record<string, unknown> = {}) => {
      const name = `run-${randomUUID()}`;
      await world.workflows.start({ workflow, name, input: input as never });
      return name;
    };

    it('runs choices, maps and parallels and keeps input and output', async () => {
      const input = { kind: 'list', items: ['a', 'b', 'c'] };
      const name = await start('shape', input);
      const seen = input.items.map((value, index) => ({ value, index, kind: 'list', seen: true }));
      expect(await ending(world.workflows, 'shape', name)).toEqual({
        workflow: 'shape',
        name,
        state: 'succeeded',
        input,
        output: [seen, { count: 3 }],
      });
    });

    it('tells the name and the cause of a failure', async () => {
      const name = await start('shape', { kind: 'other' });
      expect(await ending(world.workflows, 'shape', name)).toMatchObject({
        state: 'failed',
        error: { name: 'InputDataError', cause: 'not a list' },
      });
    });

    it('catches the failure of a map by its name', async () => {
      const name = await start('caught', { items: [1] });
      expect(await ending(world.workflows, 'caught', name)).toMatchObject({
        state: 'succeeded',
        output: { Error: 'TaskBusyError', Cause: 'busy' },
      });
    });

    it('starts nothing for the same name and input, and refuses another input', async () => {
      const name = await start('patient', { once: true });
      await world.workflows.start({ workflow: 'patient', name, input: { once: true } });
      await expect(world.workflows.start({ workflow: 'patient', name, input: { once: false } })).rejects.toThrow(
        'another input',
      );
      await world.workflows.stop({ workflow: 'patient', name, cause: 'enough' });
      await ending(world.workflows, 'patient', name);
      await world.workflows.start({ workflow: 'patient', name, input: { once: true } });
      expect(await world.workflows.describe({ workflow: 'patient', name })).toMatchObject({ state: 'aborted' });
    });

    it('stops an execution', async () => {
      const name = await start('patient');
      expect(await world.workflows.describe({ workflow: 'patient', name })).toMatchObject({ state: 'running' });
      await world.workflows.stop({ workflow: 'patient', name, cause: 'enough' });
      const found = await ending(world.workflows, 'patient', name);
      expect(found).toEqual({ workflow: 'patient', name, state: 'aborted', input: {} });
    });

    it('takes the stop of one that has ended or never was', async () => {
      const name = await start('shape', { kind: 'other' });
      await ending(world.workflows, 'shape', name);
      await world.workflows.stop({ workflow: 'shape', name, cause: 'late' });
      expect(await world.workflows.describe({ workflow: 'shape', name })).toMatchObject({ state: 'failed' });
      await world.workflows.stop({ workflow: 'shape', name: 'never-was', cause: 'none' });
    });

    it('times out', async () => {
      const name = await start('hurried');
      expect(await ending(world.workflows, 'hurried', name)).toMatchObject({
        state: 'timed_out',
        error: { name: 'States.Timeout' },
      });
    });

    it('knows no other workflows and executions', async () => {
      await expect(start('unheard-of')).rejects.toMatchObject({ code: 'WorkflowNotFoundError' });
      expect(await world.workflows.describe({ workflow: 'shape', name: 'never-was' })).toBeUndefined();
      expect(await world.workflows.describe({ workflow: 'unheard-of', name: 'never-was' })).toBeUndefined();
    });

    it('refuses names and inputs that break the bounds', async () => {
      await expect(world.workflows.start({ workflow: 'shape', name: 'a b', input: {} })).rejects.toThrow('not a name');
      await expect(start('shape', { text: 'x'.repeat(2 ** 18) })).rejects.toThrow('more than 262144');
    });
  });
}

promises('embedded', async () => openLocalWorld({ definitions: TASKLESS }));

const endpoint = process.env.LOCALSTACK_ENDPOINT;
if (endpoint) {
  promises('AWS', async () => {
    const client = new SFNClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    const prefix = `contract-${randomUUID().slice(0, 8)}-`;
    const arns = await Promise.all(
      Object.entries(TASKLESS).map(async ([name, definition]) => {
        const created = await client.send(
          new CreateStateMachineCommand({
            name: prefix + name,
            definition: JSON.stringify(definition),
            roleArn: 'arn:aws:iam::000000000000:role/contract',
          }),
        );
        return created.stateMachineArn;
      }),
    );
    const stateMachineArnPrefix = `arn:aws:states:us-east-1:000000000000:stateMachine:${prefix}`;
    return {
      workflows: new SfnWorkflows({ client, stateMachineArnPrefix }),
      close: async () => {
        await Promise.all(
          arns.map((stateMachineArn) => client.send(new DeleteStateMachineCommand({ stateMachineArn }))),
        );
        client.destroy();
      },
    };
  });
}

describe('the ended event of Step Functions', () => {
  const stateMachineArnPrefix = 'arn:aws:states:us-east-1:000000000000:stateMachine:millrace-';
  const told: unknown[] = [];
  const handle = executionEndedHandler({
    stateMachineArnPrefix,
    onEnded: async (execution) => void told.push(execution),
  });
  const change = (stateMachineArn: string) => ({
    source: 'aws.states',
    'detail-type': 'Step Functions Execution Status Change',
    detail: { stateMachineArn, name: 'job-1-1', status: 'FAILED' },
  });

  it('names the workflow and the execution', async () => {
    await handle(change(`${stateMachineArnPrefix}inference`));
    expect(told).toEqual([{ workflow: 'inference', name: 'job-1-1' }]);
  });

  it('is refused for the state machine of another', async () => {
    await expect(handle(change('arn:aws:states:us-east-1:000000000000:stateMachine:other'))).rejects.toThrow('other');
  });
});
