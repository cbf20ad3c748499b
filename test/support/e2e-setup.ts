import type { TestProject } from 'vitest/node';
import { startEmbeddedServer } from './e2e-server.ts';
import { createWorkspace } from './workspace.ts';

/** The deployment under test. */
export interface Target {
  readonly engine: 'embedded' | 'localstack' | 'ministack' | 'aws';
  readonly url: string;
  readonly rootSecret: string;
  /** Where the deployed code is, with the tests' workflows in it. */
  readonly workspace?: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    target: Target;
  }
}

/** Tests run against MILLRACE_URL if it is set, else against a server started here. */
export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { MILLRACE_URL: url, MILLRACE_ROOT_SECRET: rootSecret, MILLRACE_E2E: engine = 'aws' } = process.env;
  if (url) {
    if (!rootSecret) throw new Error('MILLRACE_URL is set: MILLRACE_ROOT_SECRET is needed too, to make tenants');
    project.provide('target', { engine: engine as Target['engine'], url, rootSecret });
    return undefined;
  }
  const workspace = await createWorkspace();
  const server = await startEmbeddedServer({ root: workspace.folder, args: ['--webhooks-to-private'] });
  project.provide('target', {
    engine: 'embedded',
    url: server.url,
    rootSecret: server.rootSecret,
    workspace: workspace.folder,
  });
  return async () => {
    await server.close();
    await workspace.remove();
  };
}
