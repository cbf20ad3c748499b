import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newTenant, SLOWER, target, until } from '../support/e2e-world.ts';
import { COPIED, createWorkspace } from '../support/workspace.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const FIXTURE = join(ROOT, 'test/fixtures/context-notes');

interface Note {
  readonly id: string;
  readonly text: string;
  readonly summary?: string;
  readonly words?: number;
}

async function openNotes() {
  const { client, apiKey } = await newTenant('notes');
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  const call = async (init: RequestInit = {}) => {
    const response = await fetch(`${target.url}/notes`, { headers, ...init });
    return { status: response.status, body: await response.json() };
  };
  return {
    client,
    create: (text: unknown) => call({ method: 'POST', body: JSON.stringify({ text }) }),
    list: async (): Promise<Note[]> => (await call()).body.items,
  };
}

/** The files of the copied folders, by their paths. */
async function filesOf(folder: string): Promise<Map<string, string>> {
  const paths = globSync([...COPIED, ...COPIED.map((name) => `${name}/**/*.*`)], {
    cwd: folder,
    exclude: ['**/node_modules', '**/dist/**'],
    withFileTypes: true,
  }).filter((entry) => entry.isFile());
  const files = paths.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name);
    return [path.slice(join(folder, '/').length), await readFile(path, 'utf8')] as const;
  });
  return new Map(await Promise.all(files));
}

describe('a context added as docs/add-a-context.md says', { timeout: 60_000 * SLOWER }, () => {
  it('answers its routes, and its schedule works on its records', async () => {
    const notes = await openNotes();
    expect(await notes.create('')).toMatchObject({ status: 400, body: { error: 'ValidationError' } });
    const created = await notes.create('A note that is longer than its summary');
    expect(created).toMatchObject({ status: 201, body: { text: 'A note that is longer than its summary' } });
    const summarized = await until(
      'it is summarized',
      async () => (await notes.list()).find(({ summary }) => summary),
      90,
    );
    expect(summarized).toMatchObject({ id: created.body.id, summary: 'A note that is longe' });
  });

  it('consumes an event of another context', async () => {
    const { client, list } = await openNotes();
    const { upload_id: uploadId } = await client.uploads.upload(Buffer.from('x,y\n1,2\n'), { name: 'rows.csv' });
    const note = await until('there is a note of it', async () => (await list())[0], 60);
    expect(note.text).toBe(`The upload ${uploadId} is completed.`);
  });

  it('has a workflow that completes its input from its records, and writes them', async () => {
    const { client, create, list } = await openNotes();
    const { id } = (await create('four words in all')).body;
    const missing = id.replace(/.{4}$/, '0000');
    await expect(client.jobs.create('wordcount', { note_id: missing })).rejects.toMatchObject({
      code: 'ValidationError',
    });
    const job = await client.jobs.run('wordcount', { note_id: id });
    expect([job.state, job.error, job.input]).toEqual([
      'completed',
      undefined,
      { note_id: id, text: 'four words in all' },
    ]);
    expect(await list()).toMatchObject([{ id, words: 4 }]);
  });

  it('costs its folder, its contract, and at most three lines elsewhere', async () => {
    const workspace = await createWorkspace([], ['notes']);
    onTestFinished(() => workspace.remove());
    const [before, after] = await Promise.all([filesOf(ROOT), filesOf(workspace.folder)]);
    const added = [...after.keys()].filter((path) => !before.has(path));
    expect(added.length).toBeGreaterThan(0);
    const own = /^(lambdas\/notes\/|contract\/(routes\/notes|workflows\/wordcount)\.ts$|statemachines\/wordcount\.)/;
    expect(added.filter((path) => !own.test(path))).toEqual([]);
    const changed = [...after].flatMap(([path, text]) => {
      const known = new Set(before.get(path)?.split('\n'));
      return before.has(path) ? text.split('\n').filter((line) => !known.has(line)) : [];
    });
    expect(changed.length).toBeLessThanOrEqual(3);
    expect(changed).toContain("export { notes } from './routes/notes.ts';");
    for (const [path, text] of before) expect(after.get(path)?.length).toBeGreaterThanOrEqual(text.length);
  });

  it('is the one that the page shows', async () => {
    const page = await readFile(join(ROOT, 'docs/add-a-context.md'), 'utf8');
    const files = globSync('{contract,lambdas}/**/*.ts', { cwd: FIXTURE });
    expect(files.length).toBeGreaterThan(4);
    for (const file of files) expect(page).toContain(`\`\`\`ts\n${await readFile(join(FIXTURE, file), 'utf8')}\`\`\``);
  });
});
