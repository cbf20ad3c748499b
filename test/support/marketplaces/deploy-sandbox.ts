import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { SandboxAddress } from './client.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
export const SANDBOX_ID = 'marketplaces';

const HOST = `${SANDBOX_ID}.lambda-url.us-east-1.localhost.localstack.cloud:4566`;

/** Where the Lambdas of a LocalStack reach it. */
export const SANDBOX_URL = `http://${HOST}`;

/** Where tests reach it: at the LocalStack's own port, under the function's name. */
export const sandboxAt = (endpoint: string): SandboxAddress => ({ url: endpoint, host: HOST });

/** Deploys the sandbox of marketplaces as a Lambda, once the LocalStack is bootstrapped. */
export async function deploySandbox(cdk: (cwd: string, args: readonly string[]) => Promise<void>): Promise<void> {
  const output = await mkdtemp(join(tmpdir(), 'millrace-sandbox-'));
  const app = `${process.execPath} ${join(import.meta.dirname, 'sandbox-app.ts')}`;
  try {
    await cdk(ROOT, [
      'deploy',
      '--all',
      '--app',
      app,
      '--output',
      output,
      '--require-approval',
      'never',
      '--method',
      'direct',
    ]);
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}
