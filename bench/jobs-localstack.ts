import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { Millrace, memoryStateStore } from '../client/index.ts';
import { runCdk } from '../lib/cdk.ts';
import { ACCOUNT, deployTo } from '../test/support/deploy.ts';
import { createWorkspace } from '../test/support/workspace.ts';
import type { Figure } from './figures.ts';
import { measureJobs } from './jobs.ts';
import { onLocalStack } from './localstack.ts';
import type { BenchOptions } from './run.ts';

/** Jobs of the stacks deployed to a LocalStack. */
export async function benchJobsOnLocalStack({ quick }: BenchOptions): Promise<Figure[]> {
  // Each call in flight is a container, which takes a while to start.
  const counts = { rounds: quick ? 1 : 7, atOnce: quick ? 2 : 8, latencies: 5, calls: quick ? 20 : 100, cancels: 2 };
  return onLocalStack(async (endpoint) => {
    const workspace = await createWorkspace(['drill', 'ten']);
    const { url, rootSecret } = await deployTo(endpoint, workspace.folder).finally(workspace.remove);
    const { keys } = new Millrace({ url, apiKey: rootSecret });
    const { secret } = await keys.create({ tenant_id: 'bench' as never, name: 'bench', role: 'owner' });
    const target = {
      name: 'LocalStack',
      client: new Millrace({ url, apiKey: secret, state: memoryStateStore() }),
      runBare: await deployBareMachine(endpoint),
      limits: { ledgerMsPerTask: 30, statusMs: 200, acknowledgedMs: 1_000 },
    };
    return measureJobs(target, counts);
  });
}

async function deployBareMachine(endpoint: string): Promise<(workMs: number) => Promise<number>> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const outputs = join(folder, 'outputs.json');
  const app = `node ${new URL('bare-stack.ts', import.meta.url).pathname}`;
  const args = ['deploy', '--app', app, '--output', join(folder, 'assembly'), '--outputs-file', outputs];
  const env = { ...ACCOUNT, AWS_ENDPOINT_URL: endpoint, AWS_ENDPOINT_URL_S3: endpoint };
  let said = '';
  const onOutput = (text: string) => {
    said += text;
  };
  try {
    const code = await runCdk([...args, '--require-approval', 'never', '--no-notices', '--ci'], { env, onOutput });
    if (code !== 0) throw new Error(`cdk deploy ended with ${code}:\n${said}`);
    const { StateMachineArn } = JSON.parse(readFileSync(outputs, 'utf8')).MillraceBenchBare as {
      StateMachineArn: string;
    };
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region } = ACCOUNT;
    const client = new SFNClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
    return (workMs) => runExecution(client, StateMachineArn, workMs);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** By Step Functions' own clock. */
async function runExecution(client: SFNClient, stateMachineArn: string, workMs: number): Promise<number> {
  const input = JSON.stringify({ job: { work_ms: workMs } });
  const { executionArn } = await client.send(new StartExecutionCommand({ stateMachineArn, input }));
  for (;;) {
    const { status, startDate, stopDate } = await client.send(new DescribeExecutionCommand({ executionArn }));
    if (status === 'SUCCEEDED' && startDate && stopDate) return stopDate.getTime() - startDate.getTime();
    if (status !== 'RUNNING') throw new Error(`the bare machine ended as ${status}`);
    await sleep(50);
  }
}
