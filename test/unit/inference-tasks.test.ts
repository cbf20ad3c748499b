import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { createGzip, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { FileId } from '../../contract/common.ts';
import type { FileRef } from '../../contract/jobs.ts';
import { inference } from '../../contract/workflows/inference.ts';
import { createTaskRunner } from '../../lambdas/jobs/run-task.ts';
import type { TaskDefinition } from '../../lambdas/jobs/task-api.ts';
import { task as assemble } from '../../lambdas/workflows/inference/assemble-results.ts';
import { BUILT_IN_MODEL } from '../../lambdas/workflows/inference/built-in-model.ts';
import { task as score } from '../../lambdas/workflows/inference/score-range.ts';
import { task as split } from '../../lambdas/workflows/inference/split-file.ts';
import { environments } from '../../lambdas/workflows/training/environments.ts';
import { chooseAction } from '../../lambdas/workflows/training/episode.ts';
import { countWeights, evaluate, shapeFor } from '../../lambdas/workflows/training/network.ts';
import { writePolicy } from '../../lambdas/workflows/training/policy.ts';
import { Random } from '../../lambdas/workflows/training/random.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';

const fixture = (name: string) => readFile(new URL(`../fixtures/inference/${name}`, import.meta.url), 'utf8');
const rowsCsv = await fixture('rows.csv');
const expected = (await fixture('expected.csv'))
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((line) => line.split(',').map(Number));

let world: JobsWorld;
let files: Map<string, FileRef>;

beforeEach(() => {
  files = new Map();
  world = openJobsWorld({ entries: { inference }, findFile: async (_tenant, id) => files.get(id) });
});
afterEach(() => world.close());

async function store(name: string, body: Uint8Array): Promise<FileId> {
  const file_id = FileId.parse(`file_${world.clock.newId()}`);
  const object_key = `tenant/${tenant}/uploads/${file_id}`;
  await world.objects.put({ key: object_key, body, contentType: 'application/octet-stream' });
  const ref = { file_id, name, content_type: 'text/csv', object_key, size_bytes: body.length };
  files.set(file_id, { ...ref, checksum_crc64nvme: 'AAAAAAAAAAA=' });
  return file_id;
}

/** Runs the tasks in the order of the state machine. */
async function infer(input: Record<string, unknown>) {
  const jobId = await world.started(input, { workflow: 'inference' });
  const run = (task: TaskDefinition, item?: number) => runOnce(jobId, task, item);
  const { items } = (await run(split)) as { items: number[] };
  for (const item of items) await run(score, item);
  await run(assemble);
  const { body } = await world.call('listArtifacts', { params: { job_id: jobId }, query: { limit: 500 } });
  const read = (name: string) => readText(`tenant/${tenant}/jobs/${jobId}/artifacts/${name}`);
  const manifest = JSON.parse(await read('manifest.json')) as { parts: { name: string }[] };
  const predictions: string[] = [];
  for (const part of manifest.parts) predictions.push(...(await read(part.name)).trimEnd().split('\n').slice(1));
  return {
    items,
    artifacts: body.items.map(({ name }) => name),
    predictions,
    summary: JSON.parse(await read('summary.json')),
    read,
  };
}

async function runOnce(jobId: JobId, task: TaskDefinition, item?: number) {
  const { attempt, run } = await world.job(jobId);
  const payload = { job: { tenant_id: tenant, job_id: jobId, attempt, run }, ...(item === undefined ? {} : { item }) };
  return createTaskRunner(world.deps)(task, payload, {
    runnerId: world.clock.newId(),
    signal: new AbortController().signal,
    deadline: new Date(world.clock.now().getTime() + 60_000),
  });
}

async function readText(key: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await world.objects.read(key)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function expectPredictions(predictions: readonly string[]): void {
  expect(predictions.length % expected.length).toBe(0);
  for (const [at, line] of predictions.entries()) {
    const values = line.split(',').map(Number);
    const wanted = expected[at % expected.length] ?? [];
    expect(values[0]).toBe(wanted[0]);
    for (const column of [1, 2]) expect(values[column]).toBeCloseTo(wanted[column] ?? Number.NaN, 5);
  }
}

function toNdjson(csv: string): string {
  const [header = '', ...lines] = csv.trimEnd().split('\n');
  const names = header.split(',');
  const record = (line: string) =>
    JSON.stringify(Object.fromEntries(line.split(',').map((value, at) => [names[at], Number(value)])));
  return `${lines.map(record).join('\n')}\n`;
}

describe('U7 inference', () => {
  it('predicts what scikit-learn predicts, whatever the ranges', async () => {
    const [header, ...lines] = rowsCsv.trimEnd().split('\n');
    const csv = `${header}\n${`${lines.join('\n')}\n`.repeat(20)}`;
    const file_id = await store('rows.csv', Buffer.from(csv));
    const { items, predictions, summary } = await infer({ file_id, range_bytes: 2 ** 20 });
    expect(items.length).toBeGreaterThan(1);
    expect(predictions).toHaveLength(20 * lines.length);
    expectPredictions(predictions);
    expect(summary).toMatchObject({ rows: 10_000, scored_rows: 10_000, bad_rows: 0 });
  });

  it.each([
    ['NDJSON', Buffer.from(toNdjson(rowsCsv))],
    ['gzipped CSV', gzipSync(rowsCsv)],
    ['gzipped NDJSON', gzipSync(toNdjson(rowsCsv))],
    ['CSV with CRLF and a byte order mark', Buffer.from(`\uFEFF${rowsCsv.replaceAll('\n', '\r\n')}`)],
    ['CSV with semicolons, without a last line end', Buffer.from(rowsCsv.trimEnd().replaceAll(',', ';'))],
  ])('reads %s', async (_format, body) => {
    const { predictions } = await infer({ file_id: await store('rows', body) });
    expect(predictions).toHaveLength(expected.length);
    expectPredictions(predictions);
  });

  it('scores with a model that was uploaded', async () => {
    const model_file_id = await store('model.onnx', Buffer.from(BUILT_IN_MODEL, 'base64'));
    const { predictions, summary } = await infer({
      file_id: await store('r.csv', Buffer.from(rowsCsv)),
      model_file_id,
    });
    expectPredictions(predictions);
    expect(summary.model).toBe('model.onnx');
  });

  it('T1 scores with a policy that training has made', async () => {
    const environment = environments.cartpole;
    const shape = shapeFor(environment, 4);
    const weights = Random.seeded(3).normals(countWeights(shape));
    const policy = writePolicy('cartpole', environment, shape, weights, {});
    const states = Array.from({ length: 50 }, (_, at) => [0, 1, 2, 3].map((part) => Math.sin(at * 7 + part)));
    const csv = `x,x_dot,theta,theta_dot\n${states.map((state) => `${state.join(',')}\n`).join('')}`;
    const model_file_id = await store('policy.json', Buffer.from(policy));
    const { predictions, summary } = await infer({ file_id: await store('s.csv', Buffer.from(csv)), model_file_id });
    expect(predictions).toHaveLength(states.length);
    for (const [at, line] of predictions.entries()) {
      const [action, ...outputs] = line.split(',').map(Number);
      const scaled = (states[at] ?? []).map((value, part) => value / (environment.scale[part] ?? 1));
      const wanted = evaluate(shape, weights, scaled);
      expect(action).toBe(chooseAction(wanted));
      for (const [output, value] of outputs.entries()) expect(value).toBeCloseTo(wanted[output] ?? Number.NaN, 5);
    }
    expect(summary).toMatchObject({ model: 'policy.json', rows: 50, columns: { action: { kind: 'label' } } });
  });

  it('tells bad rows by their line and leaves their predictions empty', async () => {
    const lines = rowsCsv.trimEnd().split('\n').slice(0, 11);
    lines[2] = 'only,three,fields';
    lines[5] = (lines[5] ?? '').replace(/^[^,]*/, '"x"');
    const { predictions, summary, read } = await infer({
      file_id: await store('r.csv', Buffer.from(lines.join('\n'))),
    });
    expect(summary).toMatchObject({ rows: 10, scored_rows: 8, bad_rows: 2 });
    const errors = (await read('errors.ndjson')).trimEnd().split('\n');
    expect(errors.map((line) => JSON.parse(line))).toEqual([
      { line: 3, row: 1, problem: '3 fields instead of 16' },
      { line: 6, row: 4, problem: 'x01 is not a number: "x"' },
    ]);
    expect(predictions.flatMap((line, row) => (/^,+$/.test(line) ? [row] : []))).toEqual([1, 4]);
  });

  it('keeps predictions that are not finite, and leaves them out of the summary', async () => {
    const policy = (weight: number) =>
      JSON.stringify({
        format: 'millrace-policy-1',
        environment: 'none',
        observations: [{ name: 'x', scale: 1 }],
        actions: 2,
        hidden_units: 0,
        weights: [weight, -1, 0, 0],
        training: {},
      });
    const score = async (rows: string, weight: number) => {
      const model_file_id = await store('policy.json', Buffer.from(policy(weight)));
      return infer({ file_id: await store('r.csv', Buffer.from(`x\n${rows}`)), model_file_id });
    };
    const some = await score(`${2 ** 127}\n1\n3\n1e39\n`, 2);
    expect(some.predictions).toEqual(['0,Infinity,-1.70141183e+38', '0,2,-1', '0,6,-3', ',,']);
    expect(some.summary).toMatchObject({
      scored_rows: 3,
      bad_rows: 1,
      columns: { output_0: { kind: 'score', min: 2, max: 6, mean: 4, not_finite: 1 }, output_1: { not_finite: 0 } },
    });
    const none = await score(`${2 ** 127}\n`.repeat(2), 2);
    expect(none.summary.columns.output_0).toEqual({ kind: 'score', min: null, max: null, mean: null, not_finite: 2 });
  });

  it('refuses a gzip file with an endless line, by its line, without holding what it unpacks to', async () => {
    const lines = rowsCsv.trimEnd().split('\n').length;
    const gzip = createGzip({ level: 1 });
    gzip.write(rowsCsv);
    const zeros = Buffer.alloc(2 ** 20, '0');
    for (let mib = 0; mib < 256; mib += 1) gzip.write(zeros);
    const file_id = await store('endless.csv.gz', await buffer(gzip.end()));
    const jobId = await world.started({ file_id, range_bytes: 2 ** 20 }, { workflow: 'inference' });
    const before = process.memoryUsage().arrayBuffers;
    let peak = before;
    const look = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }, 5);
    const message = `line ${lines + 1} of endless.csv.gz is longer than 1048576 bytes`;
    await expect(runOnce(jobId, split).finally(() => clearInterval(look))).rejects.toMatchObject({
      code: 'InputDataError',
      message,
    });
    expect(peak - before).toBeLessThan(64 * 2 ** 20);
  });

  it.each([
    ['a file whose columns are not those of the model', 'a,b\n1,2\n', undefined, /expects 16 features.*2 columns/],
    ['a CSV without a header', '1,2\n3,4\n', undefined, /needs a header/],
    ['a model that is none', rowsCsv, 'no model', /cannot be used/],
    ['JSON that is no policy', rowsCsv, '{"format": "another"}', /not a policy of the workflow training/],
    ['a gzip file that is cut off', gzipSync(rowsCsv).subarray(0, 3_000), undefined, /not a complete gzip file/],
    ['rows of which none can be scored', rowsCsv.replace(/\n[\s\S]*/, '\nx\ny\n'), undefined, /none of the 2 rows/],
  ])('refuses %s with what is wrong', async (_case, body, model, message) => {
    const file_id = await store('r.csv', Buffer.from(body as string));
    const model_file_id = model && (await store('m.onnx', Buffer.from(model)));
    await expect(infer({ file_id, ...(model_file_id ? { model_file_id } : {}) })).rejects.toMatchObject({
      code: 'InputDataError',
      message: expect.stringMatching(message),
    });
  });
});
