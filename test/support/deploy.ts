import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { readOutputs, runCdk } from '../../lib/cdk.ts';
import { readRootSecret } from '../../lib/root-secret.ts';
import { marketplacesAt, type SandboxAddress } from './marketplaces/client.ts';
import { deploySandbox, SANDBOX_URL, sandboxAt } from './marketplaces/deploy-sandbox.ts';

/** LocalStack's account and credentials. */
export const ACCOUNT = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_REGION: 'us-east-1',
} as const;

export interface Deployment {
  readonly url: string;
  readonly rootSecret: string;
  readonly bucketName: string;
  /** The marketplaces that the deployment publishes on. */
  readonly sandbox: SandboxAddress;
}

/** Deploys every stack of a project's folder to a LocalStack; an error tells what CloudFormation said. */
export async function deployTo(
  endpoint: string,
  project: string,
  settings: readonly string[] = ['webSocket=false', 'retryDelaySeconds=0.1'],
): Promise<Deployment> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-localstack-'));
  const assembly = join(folder, 'assembly');
  const outputsFile = join(folder, 'outputs.json');
  const env = { ...ACCOUNT, AWS_ENDPOINT_URL: endpoint, AWS_ENDPOINT_URL_S3: endpoint };
  const marketplaces = `marketplaces=${JSON.stringify(marketplacesAt(SANDBOX_URL, 10))}`;
  const fixed = [`publicS3Endpoint=${endpoint}`, 'keepData=false', 'webhooksToPrivate=true', marketplaces];
  const context = [...fixed, ...settings].flatMap((setting) => ['--context', setting]);
  try {
    await Promise.all([
      cdk(project, ['synth', '--quiet', '--output', assembly, ...context], env),
      // Without the app, which it would synthesize for nothing.
      cdk(project, ['bootstrap', `aws://000000000000/${ACCOUNT.AWS_REGION}`, '--app', ''], env),
    ]);
    const quick = ['--concurrency', '6', '--asset-parallelism', '--method', 'direct', '--progress', 'events'];
    const target = ['--all', '--app', assembly, '--require-approval', 'never', '--outputs-file', outputsFile];
    await Promise.all([
      cdk(project, ['deploy', ...target, ...quick], env),
      deploySandbox((cwd, args) => cdk(cwd, args, env)),
    ]);
    const outputs = await readOutputs(outputsFile);
    const secrets = new SecretsManagerClient({
      endpoint,
      region: ACCOUNT.AWS_REGION,
      credentials: { accessKeyId: ACCOUNT.AWS_ACCESS_KEY_ID, secretAccessKey: ACCOUNT.AWS_SECRET_ACCESS_KEY },
    });
    return {
      url: `${endpoint}/_aws/execute-api/${outputs.ApiId}/v1`,
      rootSecret: await readRootSecret(secrets, outputs.RootSecretArn),
      bucketName: outputs.BucketName,
      sandbox: sandboxAt(endpoint),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function cdk(cwd: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  let output = '';
  const onOutput = (text: string) => {
    output += text;
  };
  const code = await runCdk([...args, '--no-notices', '--ci'], { cwd, env, onOutput });
  if (code !== 0) throw new Error(`cdk ${args[0]} ended with ${code}:\n${output}`);
}
