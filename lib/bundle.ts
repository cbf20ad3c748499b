import { copyFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { buildSync, type Metafile } from 'esbuild';
import type { ContextSpec } from '../contract/context.ts';
import type { TaskEntry, WorkflowEntry } from '../contract/workflow.ts';

/** What a Lambda's code is made of; paths are from the repository's root. */
export interface Bundle {
  /** The module that exports `handler`. */
  readonly entry: string;
  /** Imports that are resolved to another module, by name. */
  readonly alias?: Readonly<Record<string, string>> | undefined;
  /** Files of `node_modules` that are copied next to the code. */
  readonly assets?: readonly string[] | undefined;
}

const root = resolve(import.meta.dirname, '..');

/**
 * What makes JSON Schemas is a sixth of zod, and only `GET /workflows` needs it. esbuild splits code by files: whatever
 * imports zod would load this file, too. Its CommonJS twin is another file, which only its user loads.
 */
const TO_JSON_SCHEMA = { 'zod/v4/core': 'node_modules/zod/v4/core/json-schema-processors.cjs' };

/**
 * Writes a Lambda's code into a folder, as `index.mjs` with the SDK in it: what the runtime brings loads slower. What is
 * imported by `import()` goes into a chunk beside it, loaded when it is asked for.
 */
export function bundle({ entry, alias = {}, assets = [] }: Bundle, folder: string): Metafile {
  const { metafile } = buildSync({
    absWorkingDir: root,
    entryPoints: { index: entry },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    alias: Object.fromEntries(
      Object.entries({ ...TO_JSON_SCHEMA, ...alias }).map(([name, file]) => [name, join(root, file)]),
    ),
    metafile: true,
    logLevel: 'warning',
  });
  for (const asset of assets) copyFileSync(join(root, 'node_modules', asset), join(folder, basename(asset)));
  return metafile;
}

/** A function of a context: the part of its `context.ts` that it runs. */
export type ContextPart = 'api' | 'feed' | 'consumer' | { readonly schedule: string };

/** The parts that a context declares. */
export function partsOf({ routes, feed, consumes, schedules = {} }: ContextSpec): ContextPart[] {
  return [
    ...(Object.keys(routes).length > 0 ? (['api'] as const) : []),
    ...(feed ? (['feed'] as const) : []),
    ...(consumes ? (['consumer'] as const) : []),
    ...Object.keys(schedules).map((schedule) => ({ schedule })),
  ];
}

/** `api`, `feed`, `consumer`, or the name of a schedule. */
export function nameOfPart(part: ContextPart): string {
  return typeof part === 'string' ? part : part.schedule;
}

/** What the entry of a part needs to know beside its context. */
export function partEnvironment(part: ContextPart): Readonly<Record<string, string>> {
  return typeof part === 'string' ? {} : { SCHEDULE: part.schedule };
}

/** The code of the Lambda that runs a part of a context: a generic entry. */
export function contextBundle(context: string, part: ContextPart): Bundle {
  const kind = typeof part === 'string' ? part : 'schedule';
  return { entry: `lambdas/runtime/${kind}.lambda.ts`, alias: { '#context': `lambdas/${context}/context.ts` } };
}

/** The code of a task's Lambda: the generic entry, whose `#task` is the task's module, `#hooks` that of its workflow's context. */
export function taskBundle({ context }: Pick<WorkflowEntry, 'context'>, task: TaskEntry): Bundle {
  const hooks = context ? `lambdas/${context}/hooks.ts` : 'lambdas/jobs/no-hooks.ts';
  const alias = { '#task': task.file, '#hooks': hooks };
  return { entry: 'lambdas/jobs/task.lambda.ts', alias, assets: task.assets };
}
