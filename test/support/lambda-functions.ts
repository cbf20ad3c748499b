import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

const HOOK = new URL('./crash-lambda-process.mjs', import.meta.url);

interface FunctionConfiguration {
  readonly FunctionName: string;
  readonly Description: string;
  readonly LastUpdateStatus: string;
  readonly Environment?: { readonly Variables: Readonly<Record<string, string>> };
}

/** Calls an API of a LocalStack, which looks for the service in the signature and at nothing else of it. */
async function callAws<Answer>(service: string, method: string, path: string, more: RequestInit = {}): Promise<Answer> {
  const scope = `test/20260101/us-east-1/${service}/aws4_request`;
  const response = await fetch(`${process.env.LOCALSTACK_ENDPOINT}${path}`, {
    ...more,
    method,
    headers: {
      ...more.headers,
      authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`,
    },
  });
  if (!response.ok) throw new Error(`${service} ${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}

function callLambda<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  return callAws('lambda', method, `/2015-03-31/functions${path}`, body ? { body: JSON.stringify(body) } : {});
}

function callLogs<Answer>(operation: string, body: object): Promise<Answer> {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `Logs_20140328.${operation}` };
  return callAws('logs', 'POST', '/', { headers, body: JSON.stringify(body) });
}

async function listFunctions(): Promise<FunctionConfiguration[]> {
  const all: FunctionConfiguration[] = [];
  for (let marker: string | undefined = ''; marker !== undefined; ) {
    const page: { Functions: FunctionConfiguration[]; NextMarker?: string } = await callLambda(
      'GET',
      `/?MaxItems=50${marker && `&Marker=${marker}`}`,
    );
    all.push(...page.Functions);
    marker = page.NextMarker || undefined;
  }
  return all;
}

async function setVariables(name: string, Variables: Readonly<Record<string, string>>): Promise<void> {
  await callLambda('PUT', `/${name}/configuration`, { Environment: { Variables } });
  for (const deadline = Date.now() + 60_000; ; await sleep(200)) {
    const { LastUpdateStatus } = await callLambda<FunctionConfiguration>('GET', `/${name}/configuration`);
    if (LastUpdateStatus === 'Successful') return;
    if (LastUpdateStatus === 'Failed' || Date.now() > deadline) throw new Error(`${name}: ${LastUpdateStatus}`);
  }
}

/** Has the deployed functions whose descriptions match crash for the tenants that ask for it, until the test has ended. */
export async function makeFunctionsCrash(description: RegExp): Promise<void> {
  const functions = (await listFunctions()).filter((found) => description.test(found.Description));
  if (functions.length === 0) throw new Error(`no function is described as ${description}`);
  const hook = (await readFile(HOOK)).toString('base64');
  const set = (more: Readonly<Record<string, string>>) =>
    Promise.all(
      functions.map(({ FunctionName, Environment }) =>
        setVariables(FunctionName, { ...Environment?.Variables, ...more }),
      ),
    );
  onTestFinished(() => set({}).then(() => undefined), 120_000);
  await set({ NODE_OPTIONS: `--import=data:text/javascript;base64,${hook}` });
}

/** Calls the deployed function whose description matches, and waits for its end. */
export async function callFunction(description: RegExp): Promise<void> {
  const found = (await listFunctions()).find((one) => description.test(one.Description));
  if (!found) throw new Error(`no function is described as ${description}`);
  const answer: { errorMessage?: string } | null = await callLambda('POST', `/${found.FunctionName}/invocations`, {});
  if (answer?.errorMessage) throw new Error(`${found.FunctionName}: ${answer.errorMessage}`);
}

/** What the functions' logs tell of the processes that crashed for a tenant: which write each was at. */
export async function crashesOf(tenantId: string): Promise<string[]> {
  const { logGroups } = await callLogs<{ logGroups: { logGroupName: string }[] }>('DescribeLogGroups', { limit: 50 });
  const crashes = logGroups.map(async ({ logGroupName }) => {
    const filter = { logGroupName, filterPattern: `"${tenantId}"` };
    const { events } = await callLogs<{ events: { message: string }[] }>('FilterLogEvents', filter);
    return events.flatMap(({ message }) => /killed .*/.exec(message) ?? []);
  });
  return (await Promise.all(crashes)).flat();
}
