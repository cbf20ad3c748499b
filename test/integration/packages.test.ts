import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A project that has the packages as npm would publish them, and their dependencies from the checkout. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'packages-'));
  await run('npm', ['pack', '--workspace=client', '--workspace=cli', `--pack-destination=${project}`], { cwd: ROOT });
  const modules = join(project, 'node_modules');
  for (const file of await readdir(project)) {
    const target = join(modules, file.replace(/-[\d.]+tgz$/, ''));
    await mkdir(target, { recursive: true });
    await run('tar', ['-xzf', join(project, file), '--strip-components=1', '-C', target]);
  }
  await symlink(join(ROOT, 'node_modules/zod'), join(modules, 'zod'));
  await symlink(join(ROOT, 'node_modules/cli-progress'), join(modules, 'cli-progress'));
  await symlink(join(ROOT, 'cli/node_modules/commander'), join(modules, 'commander'));
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
});
afterAll(() => rm(project, { recursive: true }));

describe('the packed packages', () => {
  const script = `
    import { Millrace } from 'millrace';
    const millrace = new Millrace({ url: process.env.MILLRACE_URL, apiKey: process.env.MILLRACE_API_KEY });
    const file = await millrace.uploads.upload('rows.csv');
    console.log(JSON.stringify({ type: 'uploaded', file }));
  `;
  it.each([
    ['command', ['node_modules/millrace-cli/bin/millrace.js', 'upload', 'rows.csv', '--json']],
    ['client', ['--input-type=module', '--eval', script]],
  ])('upload a file: the %s', async (_, args) => {
    const server = await startScriptedServer({ partSizeBytes: 64 * 1024 });
    await writeFile(join(project, 'rows.csv'), 'a,b\n1,2\n');
    const env = { PATH: process.env.PATH, HOME: project, MILLRACE_URL: server.url, MILLRACE_API_KEY: TEST_KEY };
    const { stdout } = await run(process.execPath, args, { cwd: project, env });
    await server.close();
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      type: 'uploaded',
      file: { name: 'rows.csv' },
    });
  });

  it.each(['development', 'production'])(
    'bundle for browsers under the condition %s, without a module of Node',
    async (condition) => {
      const { metafile } = await build({
        stdin: { contents: `export { Millrace } from 'millrace';`, resolveDir: project },
        conditions: [condition],
        platform: 'browser',
        format: 'esm',
        bundle: true,
        write: false,
        metafile: true,
      });
      expect(Object.keys(metafile.inputs)).toContainEqual(
        expect.stringMatching(/millrace\/dist\/client\/browser\.js$/),
      );
    },
  );

  it('declare their types', async () => {
    const source = `import { Millrace } from 'millrace';\nexport const millrace: number = new Millrace({ url: '' });\n`;
    await writeFile(join(project, 'use.ts'), source);
    const tsc = [join(ROOT, 'node_modules/.bin/tsc'), '--noEmit', '--module', 'nodenext', '--skipLibCheck', 'use.ts'];
    const { stdout } = await run(process.execPath, tsc, { cwd: project }).catch((error) => error);
    expect(stdout).toMatch(/^use\.ts\(2,14\): error TS2322: Type 'Millrace' is not assignable to type 'number'\.\s*$/);
  });
});
