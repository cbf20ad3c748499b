import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { downloadArtifact, newTenant, SLOWER, target } from '../support/e2e-world.ts';

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('a workflow added as docs/add-a-workflow.md says', () => {
  it('runs its tasks in parallel and keeps their results', { timeout: 60_000 * SLOWER }, async () => {
    const { client } = await newTenant();
    const listed = (await client.workflows.list()).find(({ name }) => name === 'tiny');
    expect(listed?.input).toMatchObject({ type: 'object', required: ['names'] });
    await expect(client.jobs.create('tiny', { names: [] })).rejects.toMatchObject({ code: 'ValidationError' });

    const job = await client.jobs.run('tiny', { names: ['Ada', 'Grace', 'Mary'] });
    expect([job.state, job.error]).toEqual(['completed', undefined]);
    const { items: tasks } = await client.jobs.tasks(job.id);
    expect(tasks.map(({ step_type, item, state }) => [step_type, item, state])).toEqual([
      ['list', undefined, 'completed'],
      ['greet', 0, 'completed'],
      ['greet', 1, 'completed'],
      ['greet', 2, 'completed'],
    ]);
    expect(tasks[1]?.output).toEqual({ greeting: 'hello Ada' });
    expect(await downloadArtifact(client, job, 'greeting-2.txt')).toBe('hello Mary');
  });

  it.runIf(target.workspace)('compiles', { timeout: 60_000 }, async () => {
    const tsc = createRequire(import.meta.url)
      .resolve('typescript/package.json')
      .replace('package.json', 'bin/tsc');
    const run = promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', '.'], { cwd: target.workspace });
    await expect(run.catch((error: { stdout: string }) => error)).resolves.toMatchObject({ stdout: '' });
  });

  it('is the one that the page shows', async () => {
    const page = await read('docs/add-a-workflow.md');
    for (const file of ['entry.ts', 'list-names.ts', 'greet.ts']) {
      expect(page).toContain(`\`\`\`ts\n${await read(`test/fixtures/tiny/${file}`)}\`\`\``);
    }
  });
});
