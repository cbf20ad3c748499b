import type { PublishedType } from './events.ts';
import type { AnyRoute } from './routes/route.ts';

/** Memory and time of a Lambda function; the single machine has neither. */
export interface FunctionSize {
  /** In MiB; 1,769 MiB is one vCPU. Default 512. */
  readonly memoryMiB?: number;
  /** At most 900. Default 60; 28 for an API, which has to answer before API Gateway gives up. */
  readonly timeoutSeconds?: number;
}

/** The one table of a context. On AWS it is a DynamoDB table, on the single machine an SQLite table. */
interface ContextTable {
  /** The name of the table on the single machine, where rows were stored before the context had its present name. */
  readonly storedName?: string;
  /** True for rows that mean nothing to the next process: the single machine keeps them in memory. */
  readonly ephemeral?: boolean;
}

/** The context's own reader of its table's changes: it gets those of rows whose sort keys begin with a prefix. */
export interface ContextFeed extends FunctionSize {
  readonly description: string;
  readonly prefixes: readonly string[];
}

/** The consumer of the events that the context subscribes to. */
export interface ContextConsumer extends FunctionSize {
  readonly description: string;
  readonly types: readonly PublishedType[];
}

export interface ContextSchedule extends FunctionSize {
  readonly description: string;
  /** On AWS whole minutes. */
  readonly everySeconds: number;
  /** On the single machine; `everySeconds` when left out. */
  readonly embeddedEverySeconds?: number;
}

/**
 * A context: what belongs together on records of its own. Its code is in `lambdas/<name>`, whose `context.ts` opens it.
 * Stacks, the single machine, the OpenAPI document and the tests of the infrastructure follow from this.
 */
export interface ContextSpec<
  Name extends string = string,
  Routes extends Readonly<Record<string, AnyRoute>> = Readonly<Record<string, AnyRoute>>,
> {
  /** Its name in `contexts.ts`, too. */
  readonly name: Name;
  /** A sentence for the OpenAPI document. */
  readonly description: string;
  /** By operation id. */
  readonly routes: Routes;
  readonly api?: FunctionSize;
  readonly table?: ContextTable;
  /** Needs `table`. */
  readonly feed?: ContextFeed;
  /** Contexts whose tables it reads, through the named queries of their `public.ts`. */
  readonly reads?: readonly string[];
  readonly consumes?: ContextConsumer;
  /** By name, such as `sweep`; their functions are in `schedules` of the context's `context.ts`. */
  readonly schedules?: Readonly<Record<string, ContextSchedule>>;
  /** Settings of the deployment that it uses, by their names in `lib/settings.ts` and in the options of `startMillrace`. */
  readonly settings?: readonly string[];
}

export function context<const Name extends string, Routes extends Readonly<Record<string, AnyRoute>>>(
  spec: ContextSpec<Name, Routes>,
): ContextSpec<Name, Routes> {
  return spec;
}

/** The types of events that each context consumes, by the context's name. */
export function consumersOf(contexts: readonly ContextSpec[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(contexts.flatMap(({ name, consumes }) => (consumes ? [[name, consumes.types]] : [])));
}

/** The environment variable that holds the name of a context's table, such as `UPLOADS_TABLE`. */
export function tableVariable(context: string): string {
  return `${upperSnakeCase(context)}_TABLE`;
}

/** The environment variable that holds the URL of the queue of the events that a context consumes, such as `WEBHOOKS_QUEUE`. */
export function queueVariable(context: string): string {
  return `${upperSnakeCase(context)}_QUEUE`;
}

/** The environment variable that holds a setting as JSON: `DELETED_FILE_DAYS` for `deletedFileDays`. */
export function settingVariable(setting: string): string {
  return upperSnakeCase(setting);
}

function upperSnakeCase(name: string): string {
  return name.replace(/[A-Z]|-/g, (char) => (char === '-' ? '_' : `_${char}`)).toUpperCase();
}
