import { type App, Stack } from 'aws-cdk-lib';
import type { ContextSpec } from '../../contract/context.ts';
import { ContextResources } from '../constructs/context-resources.ts';
import type { ContextTable } from '../constructs/context-table.ts';
import type { TaskServices } from '../constructs/task-function.ts';
import type { Settings } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';

export interface ContextStackProps {
  readonly settings: Settings;
  readonly foundation: FoundationStack;
  readonly context: ContextSpec;
  /** The tables of the contexts that it reads, by their names. */
  readonly reads: Readonly<Record<string, ContextTable>>;
  readonly environment?: Readonly<Record<string, string>>;
}

/** One context. Contexts that need more than a table, functions, queues and schedules have a stack that adds it. */
export class ContextStack extends Stack {
  readonly resources: ContextResources;

  constructor(app: App, id: string, { foundation, ...props }: ContextStackProps) {
    super(app, id, { description: `Millrace: ${props.context.description}` });
    this.resources = new ContextResources(this, { ...props, authentication: foundation });
  }

  /** For the tasks of workflows that work on the context's records. */
  get services(): TaskServices {
    const { context, ownEnvironment } = this.resources;
    const allow: TaskServices['allow'] = (role) => {
      if (context.table) this.resources.table.allowReadAndWrite(role);
    };
    return { environment: ownEnvironment, allow };
  }
}
