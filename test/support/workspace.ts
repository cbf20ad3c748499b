import { appendFile, cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
export const COPIED = [
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
/** Contexts of test/fixtures that the tests add, with the lines that docs/add-a-context.md adds to files that are there. */
const ADDED_LINES = {
  notes: {
    'contract/contexts.ts': "export { notes } from './routes/notes.ts';\n",
    'contract/workflows.ts': "export { wordcount } from './workflows/wordcount.ts';\n",
  },
};

export interface Workspace {
  readonly folder: string;
  remove(): Promise<void>;
}

/** A copy of the project to which workflows were added as docs/add-a-workflow.md says: the tests', or the bench's. */
export async function createWorkspace(
  added: readonly string[] = ADDED,
  contexts: readonly (keyof typeof ADDED_LINES)[] = ['notes'],
): Promise<Workspace> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-workspace-'));
  const filter = (path: string) => !path.includes('node_modules');
  await Promise.all(COPIED.map((name) => cp(join(ROOT, name), join(folder, name), { recursive: true, filter })));
  for (const modules of ['node_modules', 'cli/node_modules']) await symlink(join(ROOT, modules), join(folder, modules));
  for (const name of added) await addWorkflow(folder, name);
  for (const name of contexts) await addContext(folder, name);
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

/** Its folder and its contract, with a workflow that works on its records, and a line in each list. */
async function addContext(folder: string, name: keyof typeof ADDED_LINES): Promise<void> {
  await cp(join(ROOT, 'test/fixtures', `context-${name}`), folder, { recursive: true });
  for (const [file, line] of Object.entries(ADDED_LINES[name])) await appendFile(join(folder, file), line);
}
