import type { App } from 'aws-cdk-lib';
import type { WorkflowEntry } from '../contract/workflow.ts';
import * as workflows from '../contract/workflows.ts';
import type { TaskServices } from './constructs/task-function.ts';
import { readSettings } from './settings.ts';
import { EdgeStack } from './stacks/edge-stack.ts';
import { FoundationStack } from './stacks/foundation-stack.ts';
import { JobsStack } from './stacks/jobs-stack.ts';
import { LiveStack } from './stacks/live-stack.ts';
import { PublishingStack } from './stacks/publishing-stack.ts';
import { UploadsStack } from './stacks/uploads-stack.ts';
import { WorkflowStack } from './stacks/workflow-stack.ts';

/** Adds every stack of a deployment to the app; what can be set is in settings.ts. */
export function addMillrace(app: App): void {
  const settings = readSettings(app);
  const name = (stack: string) => `${settings.prefix}-${stack}`;
  const foundation = new FoundationStack(app, name('foundation'), settings);
  const uploads = new UploadsStack(app, name('uploads'), settings, foundation);
  const publishing = new PublishingStack(app, name('publishing'), settings, foundation, uploads);
  const jobs = new JobsStack(app, name('jobs'), {
    settings,
    foundation,
    uploads,
    publishing,
    workflows: Object.keys(workflows),
  });
  const live = new LiveStack(app, name('live'), { settings, foundation, uploads, jobs });
  const ofContexts: Readonly<Record<string, TaskServices>> = { publishing: publishing.services };
  for (const workflow of Object.values<WorkflowEntry>(workflows)) {
    const services = workflow.context === undefined ? undefined : ofContexts[workflow.context];
    new WorkflowStack(app, name(`workflow-${workflow.name}`), { settings, foundation, jobs, workflow, services });
  }
  new EdgeStack(app, name('edge'), settings, {
    identity: foundation.identityApi,
    uploads: uploads.api,
    jobs: jobs.api,
    publishing: publishing.api,
    live: live.api,
    webhooks: live.webhooksApi,
  });
}
