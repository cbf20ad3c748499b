import { type App, Stack } from 'aws-cdk-lib';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import type { ContextTable } from '../constructs/context-table.ts';
import { TaskFunction, type TaskServices } from '../constructs/task-function.ts';
import { Workflow } from '../constructs/workflow.ts';
import { type Settings, stateMachineName } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';

interface WorkflowStackProps {
  readonly settings: Settings;
  readonly foundation: FoundationStack;
  /** The ledger. */
  readonly jobs: ContextTable;
  readonly workflow: WorkflowEntry;
  /** Of the workflow's context. */
  readonly services?: TaskServices | undefined;
}

/** One workflow: its state machine and the Lambdas of its tasks. */
export class WorkflowStack extends Stack {
  constructor(app: App, id: string, { settings, foundation, jobs, workflow, services }: WorkflowStackProps) {
    super(app, id, { description: `Millrace: workflow ${workflow.name}` });
    const environment = {
      JOBS_TABLE: jobs.table.tableName,
      ...foundation.bucketEnvironment,
      ...services?.environment,
    };
    const functions = Object.entries(workflow.tasks).map(([state, task]) => {
      const description = `${workflow.name}: ${state}`;
      const taskFunction = new TaskFunction(this, state, { settings, description, workflow, task, environment });
      services?.allow(taskFunction.role, this);
      jobs.allowReadAndWrite(taskFunction.role);
      foundation.bucket.allowObjects(taskFunction.role, 'tenant/*', 'Get');
      foundation.bucket.allowObjects(taskFunction.role, 'tenant/*/jobs/*', 'Put', 'Delete');
      foundation.bucket.allowList(taskFunction.role);
      return [state, taskFunction] as const;
    });
    new Workflow(this, 'Workflow', {
      settings,
      stateMachineName: stateMachineName(settings, workflow.name),
      definitionFile: `statemachines/${workflow.name}.asl.json`,
      tasks: Object.fromEntries(functions),
    });
  }
}
