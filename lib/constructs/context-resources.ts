import { Duration, type Stack } from 'aws-cdk-lib';
import { Stats } from 'aws-cdk-lib/aws-cloudwatch';
import {
  type ContextConsumer,
  type ContextFeed,
  type ContextSchedule,
  type ContextSpec,
  type FunctionSize,
  tableVariable,
} from '../../contract/context.ts';
import { type Bundle, type ContextPart, contextBundle, nameOfPart, partEnvironment } from '../bundle.ts';
import { type Settings, settingsEnvironment } from '../settings.ts';
import { feedChanges } from './change-feed.ts';
import { ConsumerQueue } from './consumer-queue.ts';
import { ContextTable } from './context-table.ts';
import { DeadLetterQueue } from './dead-letter-queue.ts';
import { NodeFunction } from './node-function.ts';
import { runEvery } from './run-every.ts';
import { RunbookAlarm } from './runbook-alarm.ts';

/** How a context's API finds out who calls. */
export interface Authentication {
  readonly authEnvironment: Readonly<Record<string, string>>;
  allowAuthentication(api: NodeFunction): void;
}

export interface ContextResourcesProps {
  readonly settings: Settings;
  readonly context: ContextSpec;
  readonly authentication: Authentication;
  /** The tables of the contexts that it reads, by their names. */
  readonly reads: Readonly<Record<string, ContextTable>>;
  /** Beside the names of tables and the settings. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Construct ids in place of those made of names, of what is older than the context or shares its stack with another. */
  readonly ids?: Readonly<Record<string, string>>;
  /** Of the stack, if another context of it has one. */
  readonly deadLetters?: DeadLetterQueue | undefined;
}

/** Sizes that a context's declaration leaves out. An API gives up before API Gateway does, after 29 s. */
const API_SIZE = { memoryMiB: 512, timeoutSeconds: 28 };
const WORKER_SIZE = { memoryMiB: 512, timeoutSeconds: 60 };

interface FunctionProps extends FunctionSize {
  readonly description: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * A context's table, the functions that work on it, and what starts them: requests, changes, events, the clock. Each of
 * these functions reads and writes the table, and reads those of the contexts that the context declares; a stack adds
 * what else they need.
 */
export class ContextResources {
  readonly context: ContextSpec;
  /** The queue of the events that the context consumes. */
  readonly queue: ConsumerQueue | undefined;
  readonly #stack: Stack;
  readonly #props: ContextResourcesProps;
  readonly #table: ContextTable | undefined;
  readonly #functions = new Map<string, NodeFunction>();
  #deadLetters: DeadLetterQueue | undefined;

  constructor(stack: Stack, props: ContextResourcesProps) {
    const { context, settings } = props;
    this.#stack = stack;
    this.#props = props;
    this.#deadLetters = props.deadLetters;
    this.context = context;
    this.#table = context.table && new ContextTable(stack, this.#id('table', pascalCase(context.name)), settings);
    if (Object.keys(context.routes).length > 0) this.#addApi();
    if (context.feed) this.#addFeed(context.feed);
    this.queue = context.consumes && this.#addConsumer(context.consumes);
    for (const [name, schedule] of Object.entries(context.schedules ?? {})) this.#addSchedule(name, schedule);
  }

  get table(): ContextTable {
    return existing(this.#table, `the context ${this.context.name} has no table`);
  }

  /** `api`, `feed`, `consumer`, or the function of a schedule by its name. */
  function(part: string): NodeFunction {
    return existing(this.#functions.get(part), `the context ${this.context.name} has no ${part}`);
  }

  /** What could not be delivered to the stack's functions. */
  get deadLetters(): DeadLetterQueue {
    this.#deadLetters ??= addDeadLetters(this.#stack, this.#props.settings);
    return this.#deadLetters;
  }

  /** The name of the context's table, and the settings that it uses. */
  get ownEnvironment(): Readonly<Record<string, string>> {
    const { context, settings } = this.#props;
    return {
      ...(this.#table && { [tableVariable(context.name)]: this.#table.table.tableName }),
      ...settingsEnvironment(context, settings),
    };
  }

  /** Adds a function with the environment of the context; what it is allowed is up to the caller. */
  addFunction(id: string, { description, environment, ...codeAndSize }: FunctionProps & Bundle): NodeFunction {
    const { settings, reads, environment: shared } = this.#props;
    const readTables = Object.entries(reads).map(([name, { table }]) => [tableVariable(name), table.tableName]);
    return new NodeFunction(this.#stack, id, {
      ...WORKER_SIZE,
      ...codeAndSize,
      settings,
      description,
      environment: {
        ...this.ownEnvironment,
        ...Object.fromEntries(readTables),
        METRICS_NAMESPACE: settings.prefix,
        ...shared,
        ...environment,
      },
    });
  }

  #addPart(part: ContextPart, usualId: string, props: FunctionProps): NodeFunction {
    const name = nameOfPart(part);
    const code = contextBundle(this.context.name, part);
    const environment = { ...partEnvironment(part), ...props.environment };
    const added = this.addFunction(this.#id(name, usualId), { ...props, ...code, environment });
    this.#table?.allowReadAndWrite(added.role);
    for (const table of Object.values(this.#props.reads)) table.allowRead(added.role);
    this.#functions.set(name, added);
    return added;
  }

  #addApi(): void {
    const { context, authentication } = this.#props;
    const api = this.#addPart('api', 'Api', {
      ...API_SIZE,
      ...context.api,
      description: `API: ${context.name}`,
      environment: authentication.authEnvironment,
    });
    authentication.allowAuthentication(api);
  }

  #addFeed({ prefixes, ...props }: ContextFeed): void {
    const consumer = this.#addPart('feed', 'Feed', props);
    feedChanges({ table: this.table.table, consumer, deadLetters: this.deadLetters, prefixes });
  }

  #addConsumer({ types: _, ...props }: ContextConsumer): ConsumerQueue {
    const { settings, context } = this.#props;
    return new ConsumerQueue(this.#stack, this.#id('events', 'Events'), {
      settings,
      name: context.name,
      consumer: this.#addPart('consumer', 'Consumer', props),
      consumerTimeoutSeconds: props.timeoutSeconds ?? WORKER_SIZE.timeoutSeconds,
    });
  }

  #addSchedule(name: string, { everySeconds, embeddedEverySeconds: _, ...props }: ContextSchedule): void {
    const worker = this.#addPart({ schedule: name }, pascalCase(name), props);
    runEvery(worker, Duration.seconds(everySeconds), this.deadLetters);
  }

  #id(part: string, usual: string): string {
    return this.#props.ids?.[part] ?? usual;
  }
}

function existing<T>(value: T | undefined, problem: string): T {
  if (value === undefined) throw new Error(problem);
  return value;
}

function addDeadLetters(stack: Stack, settings: Settings): DeadLetterQueue {
  const deadLetters = new DeadLetterQueue(stack, 'DeadLetters');
  new RunbookAlarm(stack, 'HasDeadLetters', {
    settings,
    name: `${stack.node.id.slice(settings.prefix.length + 1)}-dead-letters`,
    heading: 'dead-letters',
    says: 'Changes or events could not be delivered, or runs of a schedule not be started.',
    metric: deadLetters.metricApproximateNumberOfMessagesVisible({
      statistic: Stats.MAXIMUM,
      period: Duration.minutes(5),
    }),
    threshold: 1,
    evaluationPeriods: 1,
  });
  return deadLetters;
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|-)(.)/g, (_, letter: string) => letter.toUpperCase());
}
