import type { Stack } from 'aws-cdk-lib';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { TaskEntry, WorkflowEntry } from '../../contract/workflow.ts';
import { taskBundle } from '../bundle.ts';
import type { Settings } from '../settings.ts';
import { NodeFunction } from './node-function.ts';

/** What a context gives the tasks of its workflow: `openServices` of its `aws-deps.ts` needs it. */
export interface TaskServices {
  readonly environment: Readonly<Record<string, string>>;
  allow(role: IRole, stack: Stack): void;
}

export interface TaskFunctionProps {
  readonly settings: Settings;
  /** `<workflow>: <state>`. */
  readonly description: string;
  readonly workflow: WorkflowEntry;
  readonly task: TaskEntry;
  readonly environment: Readonly<Record<string, string>>;
}

/** The Lambda of one Task state: the generic entry, bundled with the task's module. */
export class TaskFunction extends NodeFunction {
  constructor(scope: Construct, id: string, { settings, description, workflow, task, environment }: TaskFunctionProps) {
    super(scope, id, {
      settings,
      description,
      ...taskBundle(workflow, task),
      memoryMiB: task.memoryMiB ?? 1_024,
      timeoutSeconds: task.timeoutSeconds ?? 300,
      environment,
    });
  }
}
