import { appendFile, cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const NEEDED = [
  'contract',
  'lambdas',
  'platform',
  'server',
  'statemachines',
  'client',
  'cli',
  'lib',
  'package.json',
  'cdk.json',
  'tsconfig.json',
];

/** Workflows of test/fixtures that the tests add: `tiny` is the one of docs/add-a-workflow.md. */
const ADDED = ['tiny', 'drill', 'rounds', 'wide'];

export interface Workspace {
  readonly folder: string;
  remove(): Promise<void>;
}

/** A copy of the project to which workflows were added as docs/add-a-workflow.md says: the tests', or the bench's. */
export async function createWorkspace(added: readonly string[] = ADDED): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-workspace-'));
  const filter = (path: string) => !path.includes('node_modules');
  await Promise.all(NEEDED.map((name) => cp(join(ROOT, name), join(folder, name), { recursive: true, filter })));
  for (const modules of ['node_modules', 'cli/node_modules']) await symlink(join(ROOT, modules), join(folder, modules));
  for (const name of added) await addWorkflow(folder, name);
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** One entry and its line in the list, one ASL file, the task files. */
async function addWorkflow(folder: string, name: string): Promise<void> {
  const fixture = join(ROOT, 'test/fixtures', name);
  await cp(join(fixture, 'entry.ts'), join(folder, `contract/workflows/${name}.ts`));
  await appendFile(join(folder, 'contract/workflows.ts'), `export { ${name} } from './workflows/${name}.ts';\n`);

  await cp(join(fixture, `${name}.asl.json`), join(folder, 'statemachines', `${name}.asl.json`));
  const tasks = (await readdir(fixture)).filter((file) => file.endsWith('.ts') && file !== 'entry.ts');
  await mkdir(join(folder, 'lambdas/workflows', name));
  await Promise.all(tasks.map((file) => cp(join(fixture, file), join(folder, 'lambdas/workflows', name, file))));
}
