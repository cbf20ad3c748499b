import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { FileId, type JobId, type TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { FileRef } from '../../contract/jobs.ts';
import { type Operation, routes } from '../../contract/routes.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import { consumeJobChanges } from '../../lambdas/jobs/changes.ts';
import { createJobsHandlers, type JobsDeps } from '../../lambdas/jobs/handlers.ts';
import { reconcileJobs } from '../../lambdas/jobs/reconcile.ts';
import { executionName, type JobRecord, readJob, slotsKey } from '../../lambdas/jobs/records.ts';
import { createTaskRunner } from '../../lambdas/jobs/run-task.ts';
import { settleExecution } from '../../lambdas/jobs/settle.ts';
import { defineTask, type TaskDefinition } from '../../lambdas/jobs/task-api.ts';
import type { Caller, Handlers, Reply, Request } from '../../lambdas/runtime/api.ts';
import type { CompleteInput } from '../../lambdas/runtime/context.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { FileObjectStore } from '../../platform/embedded/file-object-store.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { changesTableOf, SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Change, Item, Table, Value, Write } from '../../platform/ports/table.ts';
import type { Execution, ExecutionState, Workflows } from '../../platform/ports/workflows.ts';
import { FaultyPorts } from './faulty-ports.ts';
import { checkJobsAtRest } from './jobs-at-rest.ts';
import { TestClock } from './test-clock.ts';

const HOUR_MS = 3_600_000;

export const tenant = 'acme' as TenantId;
export const otherTenant = 'zeta' as TenantId;
export const fileId = FileId.parse('file_01J00000000000000000000000');

/** A line of steps, as many as the input says. */
const line: WorkflowEntry = {
  name: 'line',
  description: 'Steps in a line',
  input: z.strictObject({
    steps: z._default(z.int().check(z.minimum(1), z.maximum(1_000)), 2),
    file_id: z.optional(FileId),
    text: z.optional(z.string()),
  }),
  files: ['file_id'],
  plan: ({ steps }) => Array.from({ length: Number(steps) }, (_, index) => ({ step: `step${index + 1}` })),
  tasks: {},
};

/** A step whose items are found by the step before. */
const fan: WorkflowEntry = {
  name: 'fan',
  description: 'Splits, works on the items, joins',
  input: z.strictObject({}),
  files: [],
  plan: () => [{ step: 'split' }, { step: 'join' }],
  steps: ['split', 'work', 'join'],
  tasks: {},
};

type Outcome = Pick<Execution, 'output' | 'error'>;

/** Keeps executions in memory; they run no task, and the test says how they end. */
class TestWorkflows implements Workflows {
  readonly executions = new Map<string, Execution>();
  readonly stopped: string[] = [];
  /** Called before an execution is kept. */
  beforeStart: (name: string) => Promise<void> = async () => {};

  async start({ workflow, name, input }: { workflow: string; name: string; input: Value }): Promise<void> {
    await this.beforeStart(name);
    if (!this.executions.has(name)) this.executions.set(name, { workflow, name, state: 'running', input });
  }

  async stop({ name }: { name: string }): Promise<void> {
    this.stopped.push(name);
    if (this.executions.get(name)?.state === 'running') this.end(name, 'aborted');
  }

  async describe({ name }: { name: string }): Promise<Execution | undefined> {
    return this.executions.get(name);
  }

  async answer(): Promise<boolean> {
    return false;
  }

  async heartbeat(): Promise<boolean> {
    return false;
  }

  end(name: string, state: ExecutionState, outcome: Outcome = {}): void {
    const execution = this.executions.get(name);
    if (!execution) throw new Error(`there is no execution ${name}`);
    this.executions.set(name, { ...execution, ...outcome, state });
  }

  running(): Execution[] {
    return [...this.executions.values()].filter(({ state }) => state === 'running');
  }
}

/** Delays calls, refuses some and loses the answers of others, by a seeded random. */
export function unsteadyTable(table: Table, random: () => number, faultRate: number): Table & { steady: boolean } {
  const unsteady = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await setImmediate();
      const chance = random();
      if (!wrapped.steady && chance < faultRate / 2) throw new DomainError('ServiceBusyError', 'refused by the test');
      const result = await call(...args);
      if (!wrapped.steady && chance < faultRate) throw new DomainError('ServiceBusyError', 'answer lost by the test');
      return result;
    };
  };
  const wrapped = {
    steady: false,
    get: unsteady(table.get.bind(table)),
    query: unsteady(table.query.bind(table)),
    write: unsteady(table.write.bind(table)),
    transact: unsteady(table.transact.bind(table)),
    putAll: unsteady(table.putAll.bind(table)),
  };
  return wrapped;
}

/** Refuses the writes that `isDead` names, as a process does that has died before them. */
export function mortalTable(table: Table, isDead: (writes: readonly Write[]) => boolean): Table {
  const check = (writes: readonly Write[]) => {
    if (isDead(writes)) throw new DomainError('ServiceBusyError', 'the process has died');
  };
  return {
    get: table.get.bind(table),
    query: table.query.bind(table),
    putAll: table.putAll.bind(table),
    async write(write) {
      check([write]);
      return table.write(write);
    },
    async transact(writes) {
      check(writes);
      return table.transact(writes);
    },
  };
}

export interface RunOptions {
  readonly item?: number;
  readonly runnerId?: string;
  readonly signal?: AbortSignal;
  readonly seconds?: number;
  readonly attempt?: number;
  readonly run?: number;
  readonly tenantId?: TenantId;
  /** The runner's own way to the ledger. */
  readonly table?: Table;
}

type Body = (ctx: Parameters<TaskDefinition['run']>[0]) => Promise<Value>;

/** The jobs context on the embedded platform in memory, with executions, time and the change feed in the test's hand. */
export function openJobsWorld(
  options: {
    runningLimit?: number;
    retryDelaySeconds?: number;
    /** The longest pauses when left out. */
    random?: () => number;
    wrapTable?: (table: Table) => Table;
    entries?: JobsDeps['entries'];
    findFile?: JobsDeps['findFile'];
    completeInput?: CompleteInput;
  } = {},
) {
  const database = openDatabase(':memory:');
  const folder = mkdtempSync(join(tmpdir(), 'jobs-'));
  const clock = new TestClock();
  const kept = new SqliteTable({ database, name: 'jobs', changes: true });
  const table = options.wrapTable?.(kept) ?? kept;
  const workflows = new TestWorkflows();
  const logged: { level: string; message: string }[] = [];
  const objects = new FileObjectStore({
    folder,
    database,
    baseUrl: 'http://127.0.0.1:1',
    signingKey: new Uint8Array(32),
    clock,
  });
  const ports = new FaultyPorts();
  const deps: JobsDeps = {
    table: ports.wrap(table),
    objects: ports.wrap(objects),
    workflows: ports.wrap(workflows),
    clock,
    log: createLog({}, (text) => logged.push(JSON.parse(text))),
    findFile:
      options.findFile ?? (async (tenantId, id) => (tenantId === tenant && id === fileId ? fileRef : undefined)),
    completeInput: async (_context, tenantId, input) => options.completeInput?.(tenantId, input) ?? input,
    entries: options.entries ?? { line, fan },
    runningLimit: options.runningLimit ?? 5,
    retryDelaySeconds: options.retryDelaySeconds ?? 1,
    random: options.random ?? (() => 1),
  };
  const handlers = createJobsHandlers(deps);
  const consume = consumeJobChanges(deps);
  const settle = settleExecution(deps);
  const readChanges = database.prepare(`SELECT * FROM ${changesTableOf('jobs')} WHERE seq > ? ORDER BY seq LIMIT ?`);
  let delivered = 0;
  let runners = 0;
  const runTask = createTaskRunner(deps);

  /** The next changes that the feed has not delivered yet. */
  function nextChanges(limit = 100, after = delivered): Change[] {
    return readChanges.all(after, limit).map((row) => {
      const before = row.before === null ? undefined : (JSON.parse(String(row.before)) as Item);
      const after = row.after === null ? undefined : (JSON.parse(String(row.after)) as Item);
      const { pk, sk } = (after ?? before) as Item;
      const images = { ...(before ? { before } : {}), ...(after ? { after } : {}) };
      return { seq: String(row.seq).padStart(16, '0'), key: { pk, sk }, ...images };
    });
  }

  /** Changes that were delivered before, and perhaps some that follow them. */
  const oldChanges = (from: number, limit: number) => nextChanges(limit, Math.min(from, delivered));

  async function drain(batch = 100): Promise<void> {
    for (let changes = nextChanges(batch); changes.length > 0; changes = nextChanges(batch)) {
      await consume(changes);
      delivered = Number(changes.at(-1)?.seq);
    }
  }

  async function call<O extends keyof Handlers<'jobs'> & Operation>(
    operation: O,
    input: Partial<Pick<Request<O>, 'params' | 'query' | 'headers' | 'body'>> = {},
    tenantId = tenant,
  ): Promise<Reply<O> & { body: NonNullable<Reply<O>['body']> }> {
    const caller: Caller = { tenantId, principalId: 'test', role: 'editor', scopes: [], root: false };
    const request = {
      params: {},
      query: {},
      headers: {},
      body: {},
      ...input,
      caller,
      requestId: 'r',
      hasBodyBytes: false,
    };
    const handle = handlers[operation] as unknown as (request: unknown) => Promise<Reply<O>>;
    const reply = await handle(request);
    checkReply(operation, reply);
    return reply as Reply<O> & { body: NonNullable<Reply<O>['body']> };
  }

  async function create(
    input: Record<string, unknown> = {},
    more: Partial<{ workflow: string; max_retries: number }> = {},
  ) {
    const body = { workflow: 'line', max_retries: 0, ...more, input };
    return (await call('createJob', { body })).body.id;
  }

  async function job(jobId: JobId, tenantId = tenant): Promise<JobRecord> {
    const found = await readJob(kept, tenantId, jobId);
    if (!found) throw new Error(`there is no job ${jobId}`);
    return found;
  }

  return {
    deps,
    table: kept,
    clock,
    workflows,
    objects,
    logged,
    consume,
    nextChanges,
    oldChanges,
    drain,
    call,
    create,
    job,

    /** A job that runs: its execution has been started. */
    async started(input: Record<string, unknown> = {}, more: Partial<{ workflow: string; max_retries: number }> = {}) {
      const jobId = await create(input, more);
      await drain();
      return jobId;
    },

    async run(jobId: JobId, step: string, body: Body = async () => null, options: RunOptions = {}): Promise<Value> {
      const { tenant_id, workflow, ...now } = await job(jobId, options.tenantId);
      const { attempt = now.attempt, run = now.run, item } = options;
      runners += 1;
      const payload = { job: { tenant_id, job_id: jobId, attempt, run }, ...(item === undefined ? {} : { item }) };
      const runWith = options.table ? createTaskRunner({ ...deps, table: options.table }) : runTask;
      return runWith(defineTask(deps.entries[workflow] ?? line, step, body), payload, {
        runnerId: options.runnerId ?? `runner-${runners}`,
        signal: options.signal ?? new AbortController().signal,
        deadline: new Date(clock.now().getTime() + (options.seconds ? options.seconds * 1_000 : HOUR_MS)),
      });
    },

    /** Ends the job's present execution and tells so. */
    async end(jobId: JobId, state: ExecutionState = 'succeeded', outcome: Outcome = {}) {
      const found = await job(jobId);
      const name = executionName(found);
      workflows.end(name, state, outcome);
      await settle({ workflow: found.workflow, name });
    },

    withFaults: ports.withFaults,
    callsDuring: ports.callsDuring,
    settle,
    reconcile: (options: Parameters<typeof reconcileJobs>[1] = {}) => reconcileJobs(deps, options),

    async states(jobId: JobId) {
      const { body } = await call('listTasks', { params: { job_id: jobId }, query: { limit: 500 } });
      return Object.fromEntries(body.items.map((task) => [task.id, task.state]));
    },

    async slots(tenantId = tenant): Promise<number> {
      return Number((await kept.get(slotsKey(tenantId)))?.running ?? 0);
    },

    checkAtRest: () => checkJobsAtRest(database),

    close(): void {
      database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export type JobsWorld = ReturnType<typeof openJobsWorld>;

/** What the contract doesn't describe is not answered. */
function checkReply(operation: Operation, { status, body }: { status: number; body?: unknown }): void {
  const responses: Readonly<Record<number, z.ZodMiniType | null>> = routes[operation].responses;
  const sent: unknown = JSON.parse(JSON.stringify(body ?? null));
  const described = responses[status]?.parse(sent);
  if (!isDeepStrictEqual(described, sent)) throw new Error(`${operation} answers otherwise than its contract`);
}

const fileRef: FileRef = {
  file_id: fileId,
  name: 'rows.csv',
  content_type: 'text/csv',
  object_key: 'tenant/acme/files/1',
  size_bytes: 3,
  checksum_crc64nvme: 'AAAAAAAAAAA=',
};
