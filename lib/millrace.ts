import type { App } from 'aws-cdk-lib';
import type { ContextSpec } from '../contract/context.ts';
import * as contexts from '../contract/contexts.ts';
import type { WorkflowEntry } from '../contract/workflow.ts';
import * as workflowEntries from '../contract/workflows.ts';
import type { ContextResources } from './constructs/context-resources.ts';
import type { ContextTable } from './constructs/context-table.ts';
import type { TaskServices } from './constructs/task-function.ts';
import { readSettings } from './settings.ts';
import { ContextStack } from './stacks/context-stack.ts';
import { EdgeStack } from './stacks/edge-stack.ts';
import { FoundationStack } from './stacks/foundation-stack.ts';
import { JobsStack } from './stacks/jobs-stack.ts';
import { LiveStack } from './stacks/live-stack.ts';
import { PublishingStack } from './stacks/publishing-stack.ts';
import { UploadsStack } from './stacks/uploads-stack.ts';
import { WorkflowStack } from './stacks/workflow-stack.ts';

/** Stacks of contexts that need more than a `ContextStack` has. */
const STACKS: Readonly<Record<string, typeof ContextStack>> = {
  jobs: JobsStack,
  publishing: PublishingStack,
  uploads: UploadsStack,
};
/** Contexts that share a stack with others: the foundation, and `live`, which depends on all that publish or consume events. */
const SHARED = ['identity', 'live', 'webhooks'];

const declared = Object.values<ContextSpec>(contexts);
const workflows = Object.values<WorkflowEntry>(workflowEntries);

/** Adds every stack of a deployment to the app; what can be set is in settings.ts. */
export function addMillrace(app: App): void {
  const settings = readSettings(app);
  const name = (stack: string) => `${settings.prefix}-${stack}`;
  const foundation = new FoundationStack(app, name('foundation'), settings);

  const resources = new Map<string, ContextResources>([['identity', foundation.identity]]);
  const services = new Map<string, TaskServices>();
  const tablesOf = (names: readonly string[]): Record<string, ContextTable> =>
    Object.fromEntries(
      names.flatMap((context) => resources.get(context) ?? []).map(({ context, table }) => [context.name, table]),
    );

  for (const context of inOrder(declared)) {
    const Stack = STACKS[context.name] ?? ContextStack;
    const reads = tablesOf(readsOf(context, declared));
    const stack = new Stack(app, name(context.name), { settings, foundation, context, reads });
    resources.set(context.name, stack.resources);
    services.set(context.name, stack.services);
  }
  const live = new LiveStack(app, name('live'), {
    settings,
    foundation,
    tables: tablesOf(contexts.live.reads ?? []),
    contexts: [...resources.values()],
  });
  resources.set('live', live.live).set('webhooks', live.webhooks);

  const jobs = resources.get('jobs')?.table;
  if (!jobs) throw new Error('the contract has no context jobs');
  for (const workflow of workflows) {
    const ofContext = workflow.context === undefined ? undefined : services.get(workflow.context);
    new WorkflowStack(app, name(`workflow-${workflow.name}`), {
      settings,
      foundation,
      jobs,
      workflow,
      services: ofContext,
    });
  }
  new EdgeStack(app, name('edge'), settings, [...resources.values()]);
}

/**
 * Contexts whose tables a context's functions read. Those of jobs run what completes the input of a workflow's job: a part
 * of the workflow's context, which reads what that context does.
 */
function readsOf({ name, reads = [] }: ContextSpec, all: readonly ContextSpec[]): readonly string[] {
  if (name !== 'jobs') return reads;
  const ofWorkflows = all.filter((context) => workflows.some((workflow) => workflow.context === context.name));
  const theirs = ofWorkflows.flatMap((context) => [...(context.table ? [context.name] : []), ...(context.reads ?? [])]);
  return [...new Set([...reads, ...theirs])];
}

/** Those with a stack of their own, each after the ones that it reads. */
function inOrder(all: readonly ContextSpec[]): readonly ContextSpec[] {
  const ordered = new Set<ContextSpec>();
  const add = (context: ContextSpec, path: readonly string[]): void => {
    const { name } = context;
    if (path.includes(name)) throw new Error(`contexts read one another in a circle: ${[...path, name].join(' → ')}`);
    for (const read of readsOf(context, all)) {
      const other = all.find((candidate) => candidate.name === read);
      if (!other || SHARED.includes(read)) throw new Error(`${name} can't read ${read}`);
      add(other, [...path, name]);
    }
    ordered.add(context);
  };
  for (const context of all) if (!SHARED.includes(context.name)) add(context, []);
  return [...ordered];
}
