import { expect, it } from 'vitest';
import type { Job, Millrace } from '../../client/index.ts';
import { newTenant, SLOWER } from '../support/e2e-world.ts';

const OPTIONS = { timeout: 180_000 * SLOWER, tags: ['long'] };

async function runWide(client: Millrace, items: number, itemsPerTask = 1): Promise<Job> {
  const job = await client.jobs.run('wide', { items, items_per_task: itemsPerTask });
  expect([job.state, job.error]).toEqual(['completed', undefined]);
  // Each item was worked on once: they are as many as there should be, and add up to what they should.
  expect(job.progress).toMatchObject({ percent: 100, detail: { items, sum: (items * (items - 1)) / 2 } });
  expect(job.progress.completed_tasks).toBe(1 + Math.ceil(items / itemsPerTask));
  return job;
}

function msPerTask({ started_at = '', completed_at = '', progress }: Job): number {
  return (Date.parse(completed_at) - Date.parse(started_at)) / progress.total_tasks;
}

it('M11 runs a job of 1,000 tasks, whose tasks take as long as those of one of 100', OPTIONS, async ({ task }) => {
  const { client } = await newTenant();
  await runWide(client, 10);
  const hundred = msPerTask(await runWide(client, 100));
  const thousand = msPerTask(await runWide(client, 1_000));
  task.meta.figures = { ms_per_task_of_100: hundred, ms_per_task_of_1000: thousand, ratio: thousand / hundred };
  // The bench holds it to 1.2; here the machine does other things, too. What grows with the tasks would make it 10.
  expect(thousand / hundred).toBeLessThan(5);
});

it('M11 runs a job of 10,000 items, some of them a task', OPTIONS, async ({ task }) => {
  const { client } = await newTenant();
  const job = await runWide(client, 10_000, 100);
  task.meta.figures = { seconds: (Date.parse(job.completed_at ?? '') - Date.parse(job.started_at ?? '')) / 1_000 };
});
