import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DynamoDBClient,
  type DynamoDBClientConfig,
  GetItemCommand,
  ListTablesCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  DescribeExecutionCommand,
  paginateGetExecutionHistory,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { type Job, Millrace, memoryStateStore } from '../client/index.ts';
import { runCdk } from '../lib/cdk.ts';
import { ACCOUNT, deployTo } from '../test/support/deploy.ts';
import { createWorkspace } from '../test/support/workspace.ts';
import { type BenchOptions, type Figure, figure } from './figures.ts';
import { measureJobs } from './jobs.ts';
import { onLocalStack } from './localstack.ts';

/** Of the account and region of every LocalStack here. */
const EXECUTIONS = `arn:aws:states:${ACCOUNT.AWS_REGION}:000000000000:execution:millrace`;

const credentials = { accessKeyId: ACCOUNT.AWS_ACCESS_KEY_ID, secretAccessKey: ACCOUNT.AWS_SECRET_ACCESS_KEY };

/** Jobs of the stacks deployed to a LocalStack. */
export async function benchJobsOnLocalStack({ quick }: BenchOptions): Promise<Figure[]> {
  // Each call in flight is a container, which takes a while to start.
  const counts = { rounds: quick ? 1 : 7, atOnce: quick ? 2 : 8, latencies: 5, calls: quick ? 20 : 100, cancels: 2 };
  return onLocalStack(async (endpoint) => {
    const workspace = await createWorkspace(['drill', 'ten', 'wide'], []);
    const { url, rootSecret } = await deployTo(endpoint, workspace.folder).finally(workspace.remove);
    const { keys } = new Millrace({ url, apiKey: rootSecret });
    const { secret } = await keys.create({ tenant_id: 'bench' as never, name: 'bench', role: 'owner' });
    const bareMachine = await deployBareMachine(endpoint);
    const config = { endpoint, region: ACCOUNT.AWS_REGION, credentials };
    const executions = new SFNClient(config);
    const target = {
      name: 'LocalStack',
      client: new Millrace({ url, apiKey: secret, state: memoryStateStore() }),
      runBare: (workMs: number) => runExecution(executions, bareMachine, workMs),
      executionMs: ({ id, attempt }: Job) => untilEnded(executions, `${EXECUTIONS}-ten:${id}-${attempt}-1`),
      limits: { ledgerMsPerTask: 30, statusMs: 200, acknowledgedMs: 1_000 },
    };
    return [
      ...(await measureTable(config, counts.calls)),
      ...(await measureJobs(target, counts)),
      await countTransitions(executions, target.client),
    ];
  });
}

/** The ARN of the machine. */
async function deployBareMachine(endpoint: string): Promise<string> {
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
    return JSON.parse(readFileSync(outputs, 'utf8')).MillraceBenchBare.StateMachineArn;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function runExecution(client: SFNClient, stateMachineArn: string, workMs: number): Promise<number> {
  const input = JSON.stringify({ job: { work_ms: workMs } });
  const { executionArn = '' } = await client.send(new StartExecutionCommand({ stateMachineArn, input }));
  return untilEnded(client, executionArn);
}

/** How long it took by Step Functions' own clock. */
async function untilEnded(client: SFNClient, executionArn: string): Promise<number> {
  for (;;) {
    const { status, startDate, stopDate } = await client.send(new DescribeExecutionCommand({ executionArn }));
    if (status === 'SUCCEEDED' && startDate && stopDate) return stopDate.getTime() - startDate.getTime();
    if (status !== 'RUNNING') throw new Error(`${executionArn} ended as ${status}`);
    await sleep(50);
  }
}

/** What Step Functions is paid by: states entered, in a Map of a hundred tasks. */
async function countTransitions(client: SFNClient, millrace: Millrace): Promise<Figure> {
  const { id, state, progress } = await millrace.jobs.run('wide', { items: 100 });
  if (state !== 'completed') throw new Error(`${id} is ${state}`);
  let entered = 0;
  const executionArn = `${EXECUTIONS}-wide:${id}-1-1`;
  for await (const { events = [] } of paginateGetExecutionHistory({ client }, { executionArn })) {
    entered += events.filter(({ type }) => type?.endsWith('StateEntered')).length;
  }
  return figure(
    'LocalStack: state transitions of a task, of 100 in a Map',
    entered / progress.total_tasks,
    'transitions',
  );
}

/** What LocalStack takes for the calls of a task: one read and two writes of a table with a stream. */
async function measureTable(config: DynamoDBClientConfig, calls: number): Promise<Figure[]> {
  const client = new DynamoDBClient(config);
  const { TableNames = [] } = await client.send(new ListTablesCommand());
  const TableName = TableNames.find((name) => name.startsWith('millrace-jobs'));
  const Key = { pk: { S: 'BENCH' }, sk: { S: 'BENCH' } };
  const reads: number[] = [];
  const writes: number[] = [];
  for (let at = 0; at < calls; at += 1) {
    const started = performance.now();
    await client.send(new GetItemCommand({ TableName, Key, ConsistentRead: true }));
    const read = performance.now();
    const values = { ':at': { N: String(at) } };
    const update = { UpdateExpression: 'SET calls = :at', ExpressionAttributeValues: values };
    await client.send(new UpdateItemCommand({ TableName, Key, ...update, ReturnValues: 'ALL_NEW' }));
    reads.push(read - started);
    writes.push(performance.now() - read);
  }
  return [figure('LocalStack: bare GetItem', reads, 'ms'), figure('LocalStack: bare UpdateItem', writes, 'ms')];
}
