import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Job, type JobEvent, type ListJobs, paginate } from '../../client/index.ts';
import {
  call,
  completedOf,
  downloadArtifact,
  newTenant,
  runCli,
  SLOWER,
  target,
  tasksOf,
  tempFolder,
  until,
  writeBytes,
} from '../support/e2e-world.ts';

const TIMEOUT = 60_000 * SLOWER;

const rows = await readFile(new URL('../fixtures/inference/rows.csv', import.meta.url), 'utf8');
const expected = await readFile(new URL('../fixtures/inference/expected.csv', import.meta.url), 'utf8');

/** The fixture's rows again and again, so that there is more than one range. */
function repeatRows(times: number): { csv: Uint8Array<ArrayBuffer>; rows: number } {
  const [header, ...lines] = rows.trimEnd().split('\n');
  const body = `${lines.join('\n')}\n`;
  return { csv: new Uint8Array(Buffer.from(`${header}\n${body.repeat(times)}`)), rows: lines.length * times };
}

describe('jobs', () => {
  it('U6 U7 runs inference on an uploaded file, and its predictions are those of another implementation', {
    timeout: TIMEOUT,
  }, async ({ task }) => {
    const { client } = await newTenant();
    const { csv, rows: count } = repeatRows(45);
    const file = await client.uploads.upload(csv, { name: 'rows.csv', contentType: 'text/csv' });
    const events: JobEvent[] = [];
    const job = await client.jobs.run(
      'inference',
      { file_id: file.id, range_bytes: 2 ** 20 },
      { onEvent: (event) => events.push(event) },
    );
    expect([job.state, job.error]).toEqual(['completed', undefined]);
    const { created_at, started_at = '', completed_at = '' } = job;
    expect([created_at, started_at, completed_at]).toEqual([created_at, started_at, completed_at].sort());
    expect(started_at).not.toBe('');
    task.meta.figures = { job_seconds: (Date.parse(completed_at) - Date.parse(created_at)) / 1_000 };
    const states = events.flatMap((event) => ('state' in event.data ? [event.data.state] : []));
    expect(states).toEqual(['queued', 'running', 'completed']);
    expect(job.progress).toMatchObject({ percent: 100, detail: { rows: count } });

    const { items: artifacts } = await client.jobs.artifacts(job.id);
    expect(artifacts.every(({ partial }) => !partial)).toBe(true);
    const manifest = JSON.parse(await downloadArtifact(client, job, 'manifest.json'));
    expect(manifest.parts.length).toBeGreaterThan(1);
    expect(artifacts.map(({ name }) => name).sort()).toEqual(
      ['manifest.json', 'summary.json', ...manifest.parts.map(({ name }: { name: string }) => name)].sort(),
    );
    const predictions: string[] = [];
    for (const { name } of manifest.parts) {
      predictions.push(...(await downloadArtifact(client, job, name)).trimEnd().split('\n').slice(1));
    }
    expect(predictions).toHaveLength(count);
    const wanted = expected.trimEnd().split('\n').slice(1);
    for (const [at, line] of predictions.entries()) {
      const [label, ...scores] = line.split(',').map(Number);
      const [wantedLabel, ...wantedScores] = (wanted[at % wanted.length] ?? '').split(',').map(Number);
      expect(label).toBe(wantedLabel);
      for (const [column, score] of scores.entries()) expect(score).toBeCloseTo(wantedScores[column] ?? Number.NaN, 5);
    }
    const summary = JSON.parse(await downloadArtifact(client, job, 'summary.json'));
    expect(summary).toMatchObject({ rows: count, scored_rows: count, bad_rows: 0, parts: manifest.parts.length });
  });

  it('U7 tells bad rows by line, scores the others, and fails a file without a good one', {
    timeout: TIMEOUT,
  }, async () => {
    const { client } = await newTenant();
    const lines = rows.trimEnd().split('\n').slice(0, 21);
    lines[3] = 'not,a,row';
    lines[10] = (lines[10] ?? '').replace(/^[^,]*/, 'abc');
    const upload = (text: string, name: string) => client.uploads.upload(new Uint8Array(Buffer.from(text)), { name });
    const mixed = await upload(`${lines.join('\n')}\n`, 'mixed.csv');
    const job = await client.jobs.run('inference', { file_id: mixed.id });
    expect([job.state, job.error]).toEqual(['completed', undefined]);
    const errors = (await downloadArtifact(client, job, 'errors.ndjson')).trimEnd().split('\n');
    expect(errors.map((line) => JSON.parse(line).line)).toEqual([4, 11]);
    const none = await upload('a,b\nx,y\n', 'none.csv');
    const failed = await client.jobs.run('inference', { file_id: none.id }, { maxRetries: 0 });
    expect([failed.state, failed.error?.code]).toEqual(['failed', 'InputDataError']);
  });

  it('U8 cancels a running job: nothing is left running, partial artifacts are marked', {
    timeout: TIMEOUT,
  }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('drill', { items: 30, work_ms: 1_000 });
    await until('an item is done', async () => {
      const done = (await tasksOf(client, job)).filter(
        (task) => task.step_type === 'work' && task.state === 'completed',
      );
      return done.length > 0 ? true : undefined;
    });
    const cancelling = await client.jobs.cancel(job.id);
    expect([cancelling.state, typeof cancelling.cancelling_at]).toEqual(['cancelling', 'string']);
    const ended = await client.jobs.wait(job.id);
    expect(ended.state).toBe('cancelled');
    expect(ended.cancelled_at).toBeDefined();
    const tasks = await tasksOf(client, job);
    expect(tasks.filter(({ state }) => state === 'running')).toEqual([]);
    const started = tasks.filter(({ attempts }) => attempts > 0).length;
    expect(started).toBeLessThan(20);
    const { items: artifacts } = await client.jobs.artifacts(job.id);
    expect(artifacts.length).toBeGreaterThan(0);
    expect(artifacts.every(({ partial }) => partial)).toBe(true);
    expect((await client.jobs.get(job.id)).state).toBe('cancelled');
    // A runner that was about to begin gives its task back, and may do so only now.
    expect(completedOf(await tasksOf(client, job))).toEqual(completedOf(tasks));
  });

  it('U8 cancels a job of inference mid-run', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    // Of some seconds, once it runs, where the cores are few; a Lambda takes longer.
    const { csv } = repeatRows(target.engine === 'embedded' ? 1_500 : 300);
    const file = await client.uploads.upload(csv, { name: 'long.csv' });
    const job = await client.jobs.create('inference', { file_id: file.id, range_bytes: 2 ** 20 });
    await until('a range is scored', async () => {
      const { progress, state } = await client.jobs.get(job.id);
      return progress.completed_tasks >= 2 || state === 'completed' ? true : undefined;
    });
    await client.jobs.cancel(job.id);
    const ended = await client.jobs.wait(job.id);
    expect(ended.state).toBe('cancelled');
    expect((await tasksOf(client, job)).filter(({ state }) => state === 'running')).toEqual([]);
  });

  it('M5 M7 retries from the task that failed: completed ones keep their result, later ones had never run', {
    timeout: TIMEOUT,
  }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.run('drill', { items: 10, fail_item: 7 }, { maxRetries: 0 });
    expect(job).toMatchObject({ state: 'failed', retry_count: 0, error: { code: 'InputDataError', task: 'work-7' } });
    const work = async () => (await tasksOf(client, job)).filter(({ step_type }) => step_type === 'work');
    const before = await work();
    expect(before.map(({ state }) => state)).toEqual([
      ...Array(7).fill('completed'),
      'failed',
      ...Array(2).fill('pending'),
    ]);
    await client.jobs.retry(job.id);
    const again = await client.jobs.wait(job.id);
    expect([again.state, again.attempt, again.error]).toEqual(['completed', 2, undefined]);
    const after = await work();
    expect(after.slice(0, 7)).toEqual(before.slice(0, 7));
    expect(after.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 1, 1]);
    expect(after.slice(7).map(({ output }) => output)).toMatchObject(Array(3).fill({ attempt: 2 }));
  });

  // These wait for retries and runs most of their time: so they wait together.
  it.concurrent('M8 retries a retryable failure by itself, and says how often', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.run('drill', { items: 3, fail_item: 1, retryable: true, fixed_in: 2 });
    expect(job).toMatchObject({ state: 'completed', retry_count: 1, attempt: 2 });
  });

  it.concurrent('M8 fails for good after the last automatic retry, and is a dead letter until it is retried by hand', {
    timeout: TIMEOUT,
  }, async () => {
    const { client } = await newTenant();
    const input = { items: 2, fail_item: 1, retryable: true, fixed_in: 4 };
    const events: JobEvent[] = [];
    const job = await client.jobs.run('drill', input, { maxRetries: 2, onEvent: (event) => events.push(event) });
    expect(job).toMatchObject({ state: 'failed', retry_count: 2, attempt: 3, error: { code: 'ServiceBusyError' } });
    const states = events.flatMap((event) => ('state' in event.data ? [event.data.state] : []));
    expect(states).toEqual([...Array(3).fill(['queued', 'running']).flat(), 'failed']);
    const dead = async () => (await client.jobs.list({ state: 'failed' })).items.map(({ id }) => id);
    expect(await dead()).toEqual([job.id]);
    await client.jobs.retry(job.id);
    expect(await client.jobs.wait(job.id)).toMatchObject({ state: 'completed', retry_count: 0, attempt: 4 });
    expect(await dead()).toEqual([]);
  });

  it.concurrent('U6 goes on in runs as if it were one run', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const events: JobEvent[] = [];
    const job = await client.jobs.run(
      'rounds',
      { rounds: 7, rounds_a_run: 3 },
      { onEvent: (event) => events.push(event) },
    );
    expect([job.state, job.error, job.attempt]).toEqual(['completed', undefined, 1]);
    const tasks = await tasksOf(client, job);
    expect(tasks.map(({ state, attempts }) => [state, attempts])).toEqual(Array(7).fill(['completed', 1]));
    const states = events.flatMap((event) => ('state' in event.data ? [event.data.state] : []));
    expect(states).toEqual(['queued', 'running', 'completed']);
  });

  it.concurrent('U8 cancels a job that goes on in runs', { timeout: TIMEOUT }, async () => {
    const { client } = await newTenant();
    const job = await client.jobs.create('rounds', { rounds: 200, rounds_a_run: 1, round_ms: 50 });
    await until('some runs have ended', async () => {
      const { progress } = await client.jobs.get(job.id);
      return progress.completed_tasks >= 3 ? true : undefined;
    });
    await client.jobs.cancel(job.id);
    expect((await client.jobs.wait(job.id)).state).toBe('cancelled');
    const tasks = await tasksOf(client, job);
    expect(tasks.filter(({ state }) => state === 'running')).toEqual([]);
    expect(tasks.at(-1)?.attempts).toBe(0);
  });

  it.concurrent.each([100, 100_000])(
    'M6 does an effect once and goes on from its checkpoint of %i bytes, over retries and runs',
    {
      timeout: TIMEOUT,
    },
    async (checkpoint_bytes) => {
      const { client } = await newTenant();
      const input = { rounds: 4, rounds_a_run: 2, checkpoint_bytes, fail_rounds: [1, 2] };
      const job = await client.jobs.run('rounds', input, { maxRetries: 2 });
      expect([job.state, job.error, job.attempt]).toEqual(['completed', undefined, 3]);
      const outputs = (await tasksOf(client, job)).map(({ output }) => output);
      expect(outputs).toMatchObject([
        { attempt: 1, effects: 1, same_effect: null },
        { attempt: 2, effects: 1, same_effect: true },
        { attempt: 3, effects: 1, same_effect: true },
        { attempt: 3, effects: 1, same_effect: null },
      ]);
    },
  );

  it('U6 answers the same Idempotency-Key with the same job', { timeout: TIMEOUT }, async () => {
    const { apiKey } = await newTenant();
    const body = { workflow: 'drill', input: { items: 1 } };
    const headers = { 'idempotency-key': 'once' };
    const [first, second] = [
      await call('POST', '/jobs', { apiKey, body, headers }),
      await call('POST', '/jobs', { apiKey, body, headers }),
    ];
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body.id).toBe(first.body.id);
    const other = await call('POST', '/jobs', { apiKey, body: { ...body, input: { items: 2 } }, headers });
    expect([other.status, other.body.error]).toEqual([409, 'IdempotencyConflictError']);
  });

  it('lists the jobs of a range of times, by pages, and refuses one that is none by its field', {
    timeout: TIMEOUT,
  }, async () => {
    const { client, apiKey } = await newTenant();
    const jobs: Job[] = [];
    for (let count = 0; count < 4; count += 1) {
      jobs.unshift(await client.jobs.create('drill', { items: 1 }));
      const { created_at = '' } = jobs[0] ?? {};
      await until('another millisecond', async () => Date.now() > Date.parse(created_at) || undefined);
    }
    const [fourth, third, second, first] = jobs.map(({ id }) => id);
    await until('all are listed', async () => (await client.jobs.list()).items.length === 4 || undefined);
    const range = { created_after: jobs[2]?.created_at, created_before: jobs[0]?.created_at };
    const list = async (query: ListJobs) => (await client.jobs.list(query)).items.map(({ id }) => id);
    expect(await list(range)).toEqual([third, second]);
    expect(await list({ created_after: range.created_after })).toEqual([fourth, third, second]);
    expect(await list({ created_before: range.created_after, workflow: 'drill' })).toEqual([first]);
    const paged: string[] = [];
    for await (const { id } of paginate((cursor) => client.jobs.list({ ...range, limit: 1, cursor }))) paged.push(id);
    expect(paged).toEqual([third, second]);
    const { status, body } = await call('GET', '/jobs?created_before=tomorrow', { apiKey });
    expect([status, body.error, body.details.problems[0].field]).toEqual([400, 'ValidationError', 'created_before']);
    const cli = ['jobs', '--since', `${range.created_after}`, '--until', `${range.created_before}`];
    const listed = await runCli(await tempFolder(), { apiKey }, ...cli);
    expect(listed.events.map((event) => event.job.id)).toEqual([third, second]);
  });

  it('M12 keeps a job from other tenants', { timeout: TIMEOUT }, async () => {
    const [mine, theirs] = [await newTenant(), await newTenant()];
    const job = await theirs.client.jobs.run('drill', { items: 1 });
    const { apiKey } = mine;
    const paths = ['', '/tasks', '/events', '/checkpoints', '/artifacts'];
    const answers = await Promise.all([
      ...paths.map((path) => call('GET', `/jobs/${job.id}${path}`, { apiKey })),
      call('DELETE', `/jobs/${job.id}`, { apiKey }),
      call('POST', `/jobs/${job.id}/retry`, { apiKey }),
    ]);
    expect(answers.map(({ status, body }) => [status, body.error])).toEqual(
      answers.map(() => [404, 'JobNotFoundError']),
    );
    const file = await theirs.client.uploads.upload(new Uint8Array(100), { name: 'theirs.bin' });
    const body = { workflow: 'inference', input: { file_id: file.id } };
    const stolen = await call('POST', '/jobs', { apiKey, body });
    expect([stolen.status, stolen.body.error]).toEqual([404, 'FileNotFoundError']);
    expect((await mine.client.jobs.list()).items).toEqual([]);
  });

  it('U7 does it all from the command line, with exit codes', { timeout: TIMEOUT }, async () => {
    const tenant = await newTenant();
    const folder = await tempFolder();
    await writeBytes(join(folder, 'rows.csv'), Buffer.from(rows));
    const ran = await runCli(folder, tenant, 'run', 'inference', '--file', 'file_id=rows.csv', '--wait');
    expect([ran.exit, ran.stderr]).toEqual([0, '']);
    const { job, artifacts } = ran.events.at(-1);
    expect(job.state).toBe('completed');
    expect(artifacts.map(({ name }: { name: string }) => name)).toContain('summary.json');
    const failed = await runCli(
      folder,
      tenant,
      'run',
      'drill',
      '--input',
      'items=2',
      '--input',
      'fail_item=1',
      '--wait',
    );
    expect(failed.exit).toBe(4);
    const id = failed.events.at(-1).job.id;
    const retried = await runCli(folder, tenant, 'retry', id, '--wait');
    expect(retried.exit).toBe(0);
    const listed = await runCli(folder, tenant, 'jobs', '--state', 'completed');
    expect(listed.events.map((event) => event.job.id).sort()).toEqual([id, job.id].sort());
    expect((await runCli(folder, tenant, 'watch', 'job_01JD3Z8J3V8K4N5Q6R7S8T9V0W')).exit).toBe(3);
  });
});
