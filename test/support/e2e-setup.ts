import type { TestProject } from 'vitest/node';
import { startEmbeddedServer } from './e2e-server.ts';
import { marketplacesAt, type SandboxAddress } from './marketplaces/client.ts';
import { startSandboxServer } from './marketplaces/server.ts';
import { createWorkspace } from './workspace.ts';

/** The deployment under test. */
export interface Target {
  readonly engine: 'embedded' | 'localstack' | 'ministack' | 'aws';
  readonly url: string;
  readonly rootSecret: string;
  /** Where the deployed code is, with the tests' workflows in it. */
  readonly workspace?: string;
  /** Where the deployment takes the marketplaces to be; none on AWS. */
  readonly sandbox?: SandboxAddress;
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
    const sandbox = process.env.MILLRACE_SANDBOX
      ? (JSON.parse(process.env.MILLRACE_SANDBOX) as SandboxAddress)
      : undefined;
    project.provide('target', { engine: engine as Target['engine'], url, rootSecret, ...(sandbox && { sandbox }) });
    return undefined;
  }
  const workspace = await createWorkspace();
  const sandbox = await startSandboxServer();
  const args = [
    '--marketplaces',
    JSON.stringify(marketplacesAt(sandbox.url, 2)),
    '--webhooks-to-private',
    '--retry-delay',
    '0.1',
  ];
  const server = await startEmbeddedServer({ root: workspace.folder, args });
  project.provide('target', {
    engine: 'embedded',
    url: server.url,
    rootSecret: server.rootSecret,
    workspace: workspace.folder,
    sandbox: { url: sandbox.url },
  });
  return async () => {
    await server.close();
    await sandbox.close();
    await workspace.remove();
  };
}
