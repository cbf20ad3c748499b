import { builtinModules } from 'node:module';

/** Lists the only imports that files may have. */
export interface ImportRule {
  /** A glob. `./` in `imports` stands for the file's folder at the depth of this glob's last segment. */
  readonly files: string;
  /** Globs of files of this repository and of package names. */
  readonly imports: readonly string[];
  /** The rule in words, for the message. */
  readonly rule: string;
}

/** Stands for what an `import()` of anything but a literal imports. */
export const COMPUTED = 'a computed path';

const ZOD = 'zod/{mini,locales,v4/core}';
const AWS_PACKAGES = ['@aws-sdk/*', '@smithy/*'];
/** The modules of Node without the database and the loader, which are named where they are allowed. */
const NODE = builtinModules
  .map((name) => `node:${name.replace(/^node:/, '')}`)
  .filter((name) => !['node:sqlite', 'node:module'].includes(name));

/** Small packages that know no platform. */
const LIBRARIES = [ZOD, 'aws-jwt-verify/*', 'standardwebhooks', 'ulid', 'aws-lambda'];
const RUNTIME = 'lambdas/runtime/**/!(aws-*|*.lambda).ts';
const CONTEXT = ['./**', 'contract/**', 'platform/ports/**', RUNTIME, 'lambdas/*/public.ts', ...LIBRARIES, ...NODE];
const WORKFLOW = [
  './**',
  'contract/**',
  'platform/ports/**',
  'lambdas/jobs/public.ts',
  'onnxruntime-web/wasm',
  'papaparse',
  ZOD,
  ...NODE,
];
const AWS_ADAPTERS = ['platform/aws/**', 'platform/system-clock.ts', ...AWS_PACKAGES];
const CLIENT = ['client/!(index|browser).ts', 'client/{live,resources,upload}/**', 'contract/**', ZOD];

/** The first rule that matches a file decides. */
export const IMPORT_RULES: readonly ImportRule[] = [
  {
    files: 'cli/**',
    imports: ['./**', 'millrace', 'cli-progress', 'commander', 'node:module', ...NODE],
    rule: "cli uses the client's public exports only, by the package's name",
  },
  {
    files: 'console/**',
    imports: ['./**', 'millrace'],
    rule: "console uses the client's public exports only, by the package's name",
  },

  {
    files: 'client/{index.ts,node/**}',
    imports: [...CLIENT, 'client/node/**', ...NODE],
    rule: 'the client for Node imports contract, zod, Node and its own files, but none for browsers',
  },
  {
    files: 'client/{browser.ts,browser/**}',
    imports: [...CLIENT, 'client/browser/**'],
    rule: 'the client for browsers imports contract, zod and its own files, but none for Node',
  },
  {
    files: 'client/**',
    imports: CLIENT,
    rule: 'the client imports contract, zod and its own files that run everywhere',
  },

  {
    files: 'contract/write-*.ts',
    imports: ['./**', 'node:fs', 'node:path'],
    rule: 'contract imports zod only, and what writes its documents node:fs and node:path',
  },
  { files: 'contract/**', imports: ['./**', ZOD], rule: 'contract imports zod only' },

  {
    files: 'lambdas/workflows/inference/**',
    imports: [...WORKFLOW, 'lambdas/workflows/training/{episode,policy}.ts'],
    rule: 'a workflow imports contract, platform/ports, lambdas/jobs/public.ts and its own files; inference also imports the episode and policy of training',
  },
  {
    files: 'lambdas/workflows/*/**',
    imports: WORKFLOW,
    rule: 'a workflow imports contract, platform/ports, lambdas/jobs/public.ts and its own files',
  },
  {
    files: 'lambdas/*/*.lambda.ts',
    imports: [...CONTEXT, 'lambdas/runtime/aws-*.ts', ...AWS_ADAPTERS, '#{context,hooks,task}'],
    rule: "a Lambda's entry imports its context, lambdas/runtime, contract, platform/ports, platform/aws and other contexts' public.ts",
  },
  {
    files: 'lambdas/runtime/aws-*.ts',
    imports: [...CONTEXT, 'lambdas/runtime/aws-*.ts', ...AWS_ADAPTERS],
    rule: 'composition for AWS imports contract, platform/ports, platform/aws and lambdas/runtime',
  },
  {
    files: 'lambdas/runtime/open-hooks.ts',
    imports: [RUNTIME, COMPUTED],
    rule: 'lambdas/runtime/open-hooks.ts imports lambdas/runtime, and the hooks of the context that it is given',
  },
  {
    files: 'lambdas/runtime/**',
    imports: [RUNTIME, 'contract/**', 'platform/ports/**', ...LIBRARIES, ...NODE],
    rule: 'lambdas/runtime imports contract, platform/ports and its own files; only its aws-* files know an adapter',
  },
  {
    files: 'lambdas/*/**',
    imports: CONTEXT,
    rule: "a context imports its own files, contract, platform/ports, lambdas/runtime (no aws-* file) and other contexts' public.ts",
  },

  {
    files: 'platform/ports/**',
    imports: ['./**', 'contract/**'],
    rule: 'platform/ports imports contract only',
  },
  {
    files: 'platform/aws/**',
    imports: ['./**', 'platform/ports/**', 'contract/**', ZOD, ...AWS_PACKAGES, ...NODE],
    rule: 'platform/aws imports platform/ports, contract and packages',
  },
  {
    files: 'platform/embedded/**',
    imports: ['./**', 'platform/ports/**', 'contract/**', ZOD, 'aws-local-stepfunctions', 'ws', 'node:sqlite', ...NODE],
    rule: 'platform/embedded imports platform/ports, contract and packages',
  },
  {
    files: 'platform/*.ts',
    imports: ['./*.ts', 'platform/ports/**', 'ulid', ...NODE],
    rule: 'what both platforms share imports platform/ports only',
  },

  {
    files: 'server/demo*.ts',
    imports: ['./**', 'client/index.ts', 'contract/**', 'cli-progress', ZOD, ...NODE],
    rule: 'the demo imports client/index.ts, contract and the server',
  },
  {
    files: 'server/**',
    imports: [
      './**',
      'lambdas/*/{context,public,upgrade-row}.ts',
      RUNTIME,
      'platform/embedded/**',
      'platform/ports/**',
      'platform/system-clock.ts',
      'contract/**',
      'package.json',
      COMPUTED,
      ZOD,
      'node:sqlite',
      ...NODE,
    ],
    rule: 'server imports contexts by context.ts, public.ts and upgrade-row.ts, lambdas/runtime (no aws-* file), platform/embedded, platform/ports and contract',
  },
  {
    files: 'lib/**',
    imports: [
      './**',
      'contract/**',
      'package.json',
      'aws-cdk-lib{,/*}',
      'constructs',
      'esbuild',
      ZOD,
      ...AWS_PACKAGES,
      'node:module',
      ...NODE,
    ],
    rule: 'lib imports contract and CDK, and names Lambda entries by path',
  },
  { files: '{test,bench}/**', imports: ['**'], rule: 'tests and benchmarks import anything' },
];
