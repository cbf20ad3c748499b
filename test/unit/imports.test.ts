import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkImports, readSources } from '../support/imports.ts';

const check = (files: Readonly<Record<string, string>>) => checkImports(new Map(Object.entries(files)));

const FORBIDDEN = readFileSync(new URL('../fixtures/forbidden-imports.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' | ') as [file: string, source: string, imported: string, rule: string]);

/** Imports that each rule allows. */
const ALLOWED: Readonly<Record<string, string>> = {
  'cli/commands/a.ts': `import { Millrace } from 'millrace'; import { b } from '../b.ts'; import { join } from 'node:path';`,
  'client/node/a.ts': `import { Job } from '../../contract/jobs.ts'; import { retry } from '../retry.ts';`,
  'contract/routes/a.ts': `import * as z from 'zod/mini'; import { Job } from '../jobs.ts';`,
  'lambdas/live/a.ts': `import { T } from '../../platform/ports/table.ts'; import { find } from '../jobs/public.ts'; import { http } from '../runtime/http.ts';`,
  'lambdas/live/context.ts': `export const open = () => import('./handlers.ts');`,
  'lambdas/jobs/task.lambda.ts': `import { task } from '#task'; import { p } from '../runtime/aws-platform.ts'; import { S } from '../../platform/aws/s3-object-store.ts';`,
  'lambdas/runtime/api.lambda.ts': `import { open } from '#context'; import { p } from './aws-platform.ts'; import { find } from '../identity/public.ts';`,
  'lambdas/workflows/media/a.ts': `import { task } from '../../jobs/public.ts'; import { limits } from '../../../contract/limits.ts';`,
  'platform/aws/a.ts': `import { S3Client } from '@aws-sdk/client-s3'; import { T } from '../ports/table.ts';`,
  'platform/embedded/a.ts': `import { DatabaseSync } from 'node:sqlite'; import { T } from '../ports/table.ts';`,
  'server/a.ts': `import { open } from '../lambdas/jobs/context.ts'; import { T } from '../platform/embedded/sqlite-table.ts';`,
  'lib/stacks/a.ts': `import { Stack } from 'aws-cdk-lib'; import { CfnApi } from 'aws-cdk-lib/aws-apigateway'; import { routes } from '../../contract/routes.ts';`,
  'test/unit/a.test.ts': `import { settle } from '../../lambdas/jobs/settle.ts';`,
};

describe('imports', () => {
  it.each(FORBIDDEN)('are flagged: %s says %s', (file, source, imported, rule) => {
    const messages = check({ [file]: source });
    expect(messages).toEqual([expect.stringContaining(`${file}:1 imports ${imported}: `)]);
    expect(messages).toEqual([expect.stringContaining(rule)]);
  });

  it('are allowed when a rule lists them', () => {
    expect(check(ALLOWED)).toEqual([]);
  });

  it('are flagged when they form a cycle, through types and dynamic imports too', () => {
    const files = {
      'contract/a.ts': `import type { B } from './b.ts';`,
      'contract/b.ts': `export * from './c.ts';`,
      'contract/c.ts': `export const load = () => import('./a.ts');`,
    };
    expect(check(files)).toEqual(['import cycle: contract/a.ts → contract/b.ts → contract/c.ts → contract/a.ts']);
  });

  it('are flagged in a folder that no rule covers', () => {
    expect(check({ 'utils/x.ts': '' })).toEqual([
      'utils/x.ts: no rule in test/support/import-rules.ts covers this file',
    ]);
  });

  it('are flagged with their line', () => {
    expect(check({ 'contract/x.ts': `import * as z from 'zod/mini';\n\nimport { ulid } from 'ulid';` })).toEqual([
      'contract/x.ts:3 imports ulid: contract imports zod only',
    ]);
  });

  it('of this repository follow the rules', () => {
    expect(checkImports(readSources(fileURLToPath(new URL('../..', import.meta.url))))).toEqual([]);
  });
});
