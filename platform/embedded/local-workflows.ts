import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { DomainError } from '../../contract/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Value } from '../ports/table.ts';
import { checkStart, otherInputError } from '../ports/workflow-bounds.ts';
import type { Execution, ExecutionEnded, ExecutionState, Workflows } from '../ports/workflows.ts';
import { Deliveries } from './deliveries.ts';
import { MAX_TIMER_MS } from './max-timer.ts';
import { namedError } from './named-error.ts';
import { orBusy } from './open-database.ts';
import { compileStateMachine, type RunnableMachine } from './state-machine.ts';
import type { TaskPool } from './task-pool.ts';
import { TaskTokens } from './task-tokens.ts';

const NAME_LIFETIME_MS = 90 * 24 * 3_600_000;
/** Until the end of an execution that the database did not take is given to it again. */
const END_PAUSE_MS = 1_000;

type Id = { readonly workflow: string; readonly name: string };
type Outcome = Pick<Execution, 'output' | 'error'> & { readonly state: ExecutionState };

/**
 * Runs state machines in this process and their tasks in a pool of threads. Executions are kept in SQLite. Stopping,
 * failing and timing out reach running tasks by their signal; the ended event is told when the last of them has ended.
 */
export class LocalWorkflows implements Workflows {
  readonly #machines: ReadonlyMap<string, RunnableMachine>;
  readonly #pool: TaskPool;
  readonly #ended: Deliveries;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #sql: ReturnType<typeof prepareStatements>;
  readonly #tokens = new TaskTokens();
  readonly #running = new Map<string, { control: AbortController; done: Promise<void> }>();
  #closed = false;

  constructor(options: {
    database: DatabaseSync;
    /** The content of `statemachines/<workflow>.asl.json`, by workflow. */
    definitions: Readonly<Record<string, unknown>>;
    pool: TaskPool;
    log: Log;
    clock: Clock;
  }) {
    const { database, definitions, pool, log, clock } = options;
    this.#machines = new Map(
      Object.entries(definitions).map(([name, definition]) => [name, compileStateMachine(name, definition)]),
    );
    this.#pool = pool;
    this.#log = log;
    this.#clock = clock;
    this.#sql = prepareStatements(database);
    this.#ended = new Deliveries({ database, queue: 'executions', log });
  }

  /**
   * To be called once, before the first `start`: begins to tell ended executions. Those that ran when the process
   * ended are told as `aborted`: who started them decides whether to go on.
   */
  recover(onEnded: ExecutionEnded): void {
    const now = this.#clock.now();
    this.#sql.forget.run(new Date(now.getTime() - NAME_LIFETIME_MS).toISOString());
    for (const id of this.#sql.untold.all() as unknown as Id[]) {
      if (this.#end(id, { state: 'aborted' }))
        this.#log.warn('execution aborted', { ...id, cause: 'the process ended while it ran' });
      this.#tell(id);
    }
    this.#ended.start((id) => onEnded(id as Id));
  }

  async start({ workflow, name, input }: { workflow: string; name: string; input: Value }): Promise<void> {
    const machine = this.#machines.get(workflow);
    if (!machine) throw new DomainError('WorkflowNotFoundError', `there is no workflow ${workflow}`);
    checkStart({ name, input });
    if (this.#closed) throw new DomainError('ServiceBusyError', 'the service is shutting down');
    const { changes } = orBusy(() =>
      this.#sql.insert.run(workflow, name, JSON.stringify(input), this.#clock.now().toISOString()),
    );
    if (changes === 0) {
      const found = this.#read({ workflow, name });
      if (!isDeepStrictEqual(found?.input, input)) throw otherInputError(workflow, name);
      return;
    }
    const control = new AbortController();
    const done = this.#run({ workflow, name }, machine, input, control);
    this.#running.set(keyOf({ workflow, name }), { control, done });
  }

  async stop({ workflow, name, cause }: { workflow: string; name: string; cause: string }): Promise<void> {
    const id = { workflow, name };
    if (!this.#end(id, { state: 'aborted' })) return;
    this.#log.info('execution aborted', { ...id, cause });
    this.#running.get(keyOf(id))?.control.abort(namedError('ExecutionAborted', cause));
  }

  async describe({ workflow, name }: { workflow: string; name: string }): Promise<Execution | undefined> {
    return orBusy(() => this.#read({ workflow, name }));
  }

  async answer({ token, output }: { token: string; output: Value }): Promise<boolean> {
    return this.#tokens.answer(token, output);
  }

  async heartbeat({ token }: { token: string }): Promise<boolean> {
    return this.#tokens.heartbeat(token);
  }

  /** Starts nothing more and ends what runs: tasks have 3 s to heed their signal. `recover` takes it up. */
  async close(): Promise<void> {
    this.#closed = true;
    const running = [...this.#running.values()];
    for (const { control } of running) control.abort(namedError('ExecutionAborted', 'the process ends'));
    await Promise.all(running.map(({ done }) => done));
    await this.#ended.stop();
  }

  async #run(id: Id, machine: RunnableMachine, input: Value, control: AbortController): Promise<void> {
    const outcome = await this.#outcomeOf(id, machine, input, control);
    while (!this.#keepEnd(id, outcome) && !this.#closed) await pause(END_PAUSE_MS);
    this.#running.delete(keyOf(id));
  }

  /** Whether the database took it: else it says that the execution runs, which nobody would doubt before the next start. */
  #keepEnd(id: Id, outcome: Outcome | undefined): boolean {
    try {
      if (outcome) this.#end(id, outcome);
      if (this.#read(id)?.state !== 'running') this.#tell(id);
      return true;
    } catch (error) {
      this.#log.error('the end of an execution could not be stored', { ...id, error });
      return false;
    }
  }

  /** Undefined when it was stopped from outside. */
  async #outcomeOf(
    id: Id,
    machine: RunnableMachine,
    input: Value,
    control: AbortController,
  ): Promise<Outcome | undefined> {
    const timeout = namedError('States.Timeout', `the execution took longer than ${machine.timeoutMs} ms`);
    const timer =
      machine.timeoutMs && setTimeout(() => control.abort(timeout), Math.min(machine.timeoutMs, MAX_TIMER_MS));
    try {
      const output = await machine.run(input, {
        signal: control.signal,
        context: { Execution: { Name: id.name }, StateMachine: { Name: id.workflow } },
        runTask: (call) => this.#pool.run({ workflow: id.workflow, ...call }),
        openToken: (times) => this.#tokens.open(times),
      });
      return { state: 'succeeded', output };
    } catch (error) {
      if (control.signal.reason === timeout) return { state: 'timed_out', error: describeError(timeout) };
      return control.signal.aborted ? undefined : { state: 'failed', error: describeError(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether this was what ended it. */
  #end({ workflow, name }: Id, { state, output, error }: Outcome): boolean {
    const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
    const endedAt = this.#clock.now().toISOString();
    const { changes } = orBusy(() => this.#sql.end.run(state, json(output), json(error), endedAt, workflow, name));
    return changes > 0;
  }

  /** A process that ends between the two tells it again. */
  #tell(id: Id): void {
    this.#ended.put(keyOf(id), { workflow: id.workflow, name: id.name });
    orBusy(() => this.#sql.told.run(id.workflow, id.name));
  }

  #read({ workflow, name }: Id): Execution | undefined {
    const row = this.#sql.get.get(workflow, name);
    if (!row) return undefined;
    return {
      workflow,
      name,
      state: row.state as ExecutionState,
      input: JSON.parse(String(row.input)),
      ...(row.output === null ? {} : { output: JSON.parse(String(row.output)) }),
      ...(row.error === null ? {} : { error: JSON.parse(String(row.error)) }),
    };
  }
}

function keyOf({ workflow, name }: Id): string {
  return `${workflow}/${name}`;
}

function describeError(error: unknown): NonNullable<Execution['error']> {
  return error instanceof Error
    ? { name: error.name, cause: error.message }
    : { name: 'States.Runtime', cause: String(error) };
}

function prepareStatements(database: DatabaseSync) {
  database.exec(`
    CREATE TABLE IF NOT EXISTS executions (
      workflow TEXT NOT NULL,
      name TEXT NOT NULL,
      state TEXT NOT NULL DEFAULT 'running',
      input TEXT NOT NULL,
      output TEXT,
      error TEXT,
      started_at TEXT NOT NULL,
      ended_at TEXT,
      told INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (workflow, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS executions_untold ON executions (started_at) WHERE told = 0;
  `);
  return {
    insert: database.prepare(
      'INSERT INTO executions (workflow, name, input, started_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    get: database.prepare('SELECT state, input, output, error FROM executions WHERE workflow = ? AND name = ?'),
    end: database.prepare(
      `UPDATE executions SET state = ?, output = ?, error = ?, ended_at = ?
       WHERE workflow = ? AND name = ? AND state = 'running'`,
    ),
    untold: database.prepare('SELECT workflow, name FROM executions WHERE told = 0 ORDER BY started_at'),
    told: database.prepare('UPDATE executions SET told = 1 WHERE workflow = ? AND name = ?'),
    forget: database.prepare('DELETE FROM executions WHERE told = 1 AND ended_at < ?'),
  };
}
