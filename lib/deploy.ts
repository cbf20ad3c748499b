import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HeadBucketCommand, NotFound, S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import * as z from 'zod/mini';
import { type Outputs, readOutputs, runCdk } from './cdk.ts';
import { readRootSecret } from './root-secret.ts';

const HELP = `Deploys Millrace to your AWS account and creates the first API key.

  npm run deploy -- [options]

  --first-key TENANT    tenant for which an API key is created unless it has one (default: main)
  -c, --context K=V     set a setting; may be repeated
  --profile NAME        AWS profile, as in the AWS CLI
  --region REGION       AWS region, such as eu-central-1
  --help                show this text
`;

/** What the user can mend: told as a sentence, without a stack. */
class DeployError extends Error {}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    // Loads the CDK, which takes a while.
    const { settingsHelp } = await import('./settings.ts');
    process.stdout.write(`${HELP}\nSettings:\n${settingsHelp()}`);
    return;
  }
  if (options.profile) process.env.AWS_PROFILE = options.profile;
  if (options.region) process.env.AWS_REGION = options.region;
  const target = await findTarget();
  process.stdout.write(`Deploying to account ${target.account}, ${target.region}.\n`);
  await checkBootstrap(target);
  const outputs = await deploy(options.context);
  const rootSecret = await readRootSecret(new SecretsManagerClient({ region: target.region }), outputs.RootSecretArn);
  await waitUntilHealthy(outputs.ApiUrl);
  const key = await createFirstKey(outputs.ApiUrl, rootSecret, options.firstKey);
  process.stdout.write(nextSteps(outputs, options.firstKey, key));
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        'first-key': { type: 'string', default: 'main' },
        context: { type: 'string', short: 'c', multiple: true, default: [] },
        profile: { type: 'string' },
        region: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    return { ...values, firstKey: values['first-key'] };
  } catch (error) {
    throw new DeployError(`${messageOf(error)}\n\n${HELP}`);
  }
}

interface Target {
  readonly account: string;
  readonly region: string;
}

async function findTarget(): Promise<Target> {
  const sts = new STSClient();
  const region = await sts.config.region().catch(() => {
    throw new DeployError('No AWS region is set: pass --region, set AWS_REGION, or set a region in your AWS profile.');
  });
  // The CDK app reads the region from the environment too.
  process.env.AWS_REGION = region;
  try {
    const { Account: account = '' } = await sts.send(new GetCallerIdentityCommand());
    return { account, region };
  } catch (error) {
    throw new DeployError(
      `AWS credentials are missing or were rejected (${messageOf(error)}).\n` +
        'Run `aws sso login` or `aws configure`, pass a profile with --profile, ' +
        'or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Then run this again.',
    );
  }
}

/** `cdk bootstrap` makes the bucket that deployments go through. */
async function checkBootstrap({ account, region }: Target): Promise<void> {
  const bucket = `cdk-hnb659fds-assets-${account}-${region}`;
  try {
    await new S3Client({ region }).send(new HeadBucketCommand({ Bucket: bucket }));
  } catch (error) {
    // Anything else, such as a denial, may be different for the roles that the CDK takes: it will tell.
    if (!(error instanceof NotFound)) return;
    throw new DeployError(
      `The CDK is not bootstrapped in account ${account}, ${region}. Run this once per account and region:\n` +
        `  npx cdk bootstrap aws://${account}/${region}`,
    );
  }
}

async function deploy(context: readonly string[]): Promise<Outputs> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-deploy-'));
  try {
    const file = join(folder, 'outputs.json');
    const settings = context.flatMap((pair) => ['--context', pair]);
    const arguments_ = ['deploy', '--all', '--require-approval', 'never', '--concurrency', '4', '--outputs-file', file];
    const code = await runCdk([...arguments_, ...settings]);
    if (code !== 0) throw new DeployError('The deployment failed. See the messages of CloudFormation above.');
    return await readOutputs(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A new API answers some seconds after its stack is complete. */
async function waitUntilHealthy(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const response = await fetch(`${url}/health`).catch(() => undefined);
    if (response?.ok) return;
    if (Date.now() > deadline) {
      throw new DeployError(
        `The stacks are deployed, but ${url}/health did not answer 200 within 60 s (${response?.status ?? 'no connection'}). Run this again in a minute.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

const Keys = z.object({ items: z.array(z.unknown()) });
const NewKey = z.object({ secret: z.string() });

/** The key, or undefined if the tenant has one already. */
async function createFirstKey(url: string, rootSecret: string, tenant: string): Promise<string | undefined> {
  const headers = { authorization: `Bearer ${rootSecret}`, 'content-type': 'application/json' };
  const call = async (init: RequestInit, query = '') => {
    const response = await fetch(`${url}/keys${query}`, { ...init, headers });
    const body: unknown = await response.json();
    if (!response.ok) throw new DeployError(`The API did not create a key: ${JSON.stringify(body)}`);
    return body;
  };
  const { items } = Keys.parse(await call({ method: 'GET' }, `?tenant_id=${encodeURIComponent(tenant)}&limit=1`));
  if (items.length > 0) return undefined;
  const body = JSON.stringify({ tenant_id: tenant, name: 'first', role: 'owner' });
  return NewKey.parse(await call({ method: 'POST', body })).secret;
}

function nextSteps({ ApiUrl, RootSecretArn }: Outputs, tenant: string, key: string | undefined): string {
  const lines = key
    ? [
        'Your first API key is shown only once:',
        '',
        `  export MILLRACE_URL=${ApiUrl}`,
        `  export MILLRACE_API_KEY=${key}`,
      ]
    : [
        `Tenant ${tenant} already has an API key. To create more, use the root secret: mr_root_<value of ${RootSecretArn}>.`,
        '',
        `  export MILLRACE_URL=${ApiUrl}`,
      ];
  return ['', 'Millrace is deployed.', ...lines, '', 'Next:', '  npx millrace upload FILE', ''].join('\n');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof DeployError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
