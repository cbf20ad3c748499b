import { isDeepStrictEqual } from 'node:util';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionDoesNotExist,
  type ExecutionStatus,
  InvalidToken,
  SendTaskHeartbeatCommand,
  SendTaskSuccessCommand,
  SFNClient,
  StartExecutionCommand,
  StateMachineDoesNotExist,
  StopExecutionCommand,
  TaskDoesNotExist,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import * as z from 'zod/mini';
import { DomainError } from '../../contract/errors.ts';
import type { Value } from '../ports/table.ts';
import { checkStart, otherInputError } from '../ports/workflow-bounds.ts';
import type { Execution, ExecutionEnded, ExecutionState, Workflows } from '../ports/workflows.ts';

const STATES: Readonly<Record<ExecutionStatus, ExecutionState>> = {
  RUNNING: 'running',
  PENDING_REDRIVE: 'running',
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  TIMED_OUT: 'timed_out',
  ABORTED: 'aborted',
};
/** StopExecution takes this many characters of a cause. */
const MAX_CAUSE_LENGTH = 32_768;

export function openSfnWorkflows(stateMachineArnPrefix: string): SfnWorkflows {
  return new SfnWorkflows({ client: new SFNClient(), stateMachineArnPrefix });
}

/** `Workflows` on Step Functions: the state machine of workflow w is `<stateMachineArnPrefix>w`. */
export class SfnWorkflows implements Workflows {
  readonly #client: SFNClient;
  readonly #prefix: string;

  constructor(options: { client: SFNClient; stateMachineArnPrefix: string }) {
    this.#client = options.client;
    this.#prefix = options.stateMachineArnPrefix;
  }

  async start({ workflow, name, input }: { workflow: string; name: string; input: Value }): Promise<void> {
    checkStart({ name, input });
    try {
      await this.#client.send(
        new StartExecutionCommand({ stateMachineArn: this.#prefix + workflow, name, input: JSON.stringify(input) }),
      );
    } catch (error) {
      if (error instanceof StateMachineDoesNotExist)
        throw new DomainError('WorkflowNotFoundError', `there is no workflow ${workflow}`, {}, { cause: error });
      if (!(error instanceof ExecutionAlreadyExists)) throw error;
      // Step Functions says so of one that has ended, even with the same input.
      const found = await this.describe({ workflow, name });
      if (found && !isDeepStrictEqual(found.input, input)) throw otherInputError(workflow, name);
    }
  }

  async stop({ workflow, name, cause }: { workflow: string; name: string; cause: string }): Promise<void> {
    try {
      await this.#client.send(
        new StopExecutionCommand({
          executionArn: this.#executionArn(workflow, name),
          error: 'ExecutionAborted',
          cause: cause.slice(0, MAX_CAUSE_LENGTH),
        }),
      );
    } catch (error) {
      if (!(error instanceof ExecutionDoesNotExist)) throw error;
    }
  }

  async describe({ workflow, name }: { workflow: string; name: string }): Promise<Execution | undefined> {
    try {
      const found = await this.#client.send(
        new DescribeExecutionCommand({ executionArn: this.#executionArn(workflow, name) }),
      );
      const state = STATES[found.status ?? 'RUNNING'];
      const error = { name: found.error ?? 'States.Timeout', cause: causeOf(found.cause) };
      return {
        workflow,
        name,
        state,
        input: JSON.parse(found.input ?? '{}'),
        ...(state === 'succeeded' ? { output: JSON.parse(found.output ?? 'null') } : {}),
        ...(state === 'failed' || state === 'timed_out' ? { error } : {}),
      };
    } catch (error) {
      if (error instanceof ExecutionDoesNotExist) return undefined;
      throw error;
    }
  }

  answer({ token, output }: { token: string; output: Value }): Promise<boolean> {
    return unlessGone(() =>
      this.#client.send(new SendTaskSuccessCommand({ taskToken: token, output: JSON.stringify(output) })),
    );
  }

  heartbeat({ token }: { token: string }): Promise<boolean> {
    return unlessGone(() => this.#client.send(new SendTaskHeartbeatCommand({ taskToken: token })));
  }

  #executionArn(workflow: string, name: string): string {
    return `${(this.#prefix + workflow).replace(':stateMachine:', ':execution:')}:${name}`;
  }
}

/** Whether the token's state was waiting. */
async function unlessGone(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    if (error instanceof TaskTimedOut || error instanceof TaskDoesNotExist || error instanceof InvalidToken)
      return false;
    throw error;
  }
}

const LambdaFailure = z.object({ errorMessage: z.string() });

/** A Lambda's failure has a JSON text as its cause; the message in it is what the task said. */
function causeOf(cause = ''): string {
  try {
    return LambdaFailure.parse(JSON.parse(cause)).errorMessage;
  } catch {
    return cause;
  }
}

const StatusChange = z.object({ detail: z.object({ stateMachineArn: z.string(), name: z.string() }) });

/** A Lambda handler of EventBridge's `Step Functions Execution Status Change` events for executions that ended. */
export function executionEndedHandler(options: {
  stateMachineArnPrefix: string;
  onEnded: ExecutionEnded;
}): (event: unknown) => Promise<void> {
  return async (event) => {
    const { stateMachineArn, name } = StatusChange.parse(event).detail;
    if (!stateMachineArn.startsWith(options.stateMachineArnPrefix))
      throw new Error(`not a state machine of ours: ${stateMachineArn}`);
    await options.onEnded({ workflow: stateMachineArn.slice(options.stateMachineArnPrefix.length), name });
  };
}
