import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type * as z from 'zod/mini';
import { DomainError } from '../../../contract/errors.ts';
import type { FileRef } from '../../../contract/jobs.ts';
import { MAX_TASKS_PER_MAP } from '../../../contract/limits.ts';
import { type InferenceInput, inference } from '../../../contract/workflows/inference.ts';
import { readObject } from '../../../platform/ports/read-object.ts';
import type { TaskContext } from '../../jobs/public.ts';
import { defineTask } from '../../jobs/public.ts';
import { countNewlines, LineSplitter, MAX_LINE_BYTES, readLines } from './lines.ts';
import type { SplitOutput } from './outputs.ts';
import { detectFormat, type RowFormat } from './rows.ts';

type Context = TaskContext<z.output<typeof InferenceInput>>;

export const task = defineTask(inference, 'split', async (ctx) => {
  const file = ctx.files.file_id;
  if (!file) throw new Error('a job of inference has a file');
  const head = await readHead(ctx, file);
  const gzipped = head[0] === 0x1f && head[1] === 0x8b;
  const output = gzipped ? await unpack(ctx, file) : await plan(ctx, file, head);
  await ctx.addTasks(output.items.map((item) => ({ step: 'score', item })));
  return output;
});

async function plan(ctx: Context, file: FileRef, head: Uint8Array): Promise<SplitOutput> {
  const rows = await findFormat(ctx, file, head);
  const rangeBytes = Math.max(ctx.input.range_bytes, Math.ceil(file.size_bytes / MAX_TASKS_PER_MAP));
  return { rows, items: [...Array(Math.ceil(file.size_bytes / rangeBytes)).keys()], range_bytes: rangeBytes };
}

async function findFormat(ctx: Context, file: FileRef, head: Uint8Array): Promise<RowFormat> {
  for await (const lines of readLines(
    ctx.objects,
    { key: file.object_key, sizeBytes: file.size_bytes },
    { start: 0, end: head.length },
  )) {
    if (lines.length > 0) return formatOf(ctx, file, lines[0]);
  }
  throw new DomainError('InputDataError', `${file.name} contains no lines`, { field: 'file_id' });
}

function formatOf(ctx: Context, file: FileRef, line: string | undefined): RowFormat {
  if (line === undefined)
    throw new DomainError('InputDataError', `the first line of ${file.name} is too long`, { field: 'file_id' });
  const looksLikeJson = line
    .replace(/^\uFEFF/, '')
    .trimStart()
    .startsWith('{');
  const found = detectFormat(line, ctx.input.format ?? (looksLikeJson ? 'ndjson' : 'csv'));
  if ('problem' in found)
    throw new DomainError('InputDataError', `${file.name}: ${found.problem}`, { field: 'file_id' });
  return found;
}

async function readHead(ctx: Context, file: FileRef): Promise<Uint8Array> {
  return readObject(ctx.objects, file.object_key, { start: 0, end: Math.min(65_536, file.size_bytes) });
}

/** gzip can only be read from its start: it is unpacked once, into one scratch object per range that ends with a line. */
async function unpack(ctx: Context, file: FileRef): Promise<SplitOutput> {
  const gunzip = createGunzip();
  const packed = Readable.from(await ctx.objects.read(file.object_key));
  packed.on('error', (error) => gunzip.destroy(error));
  const unpacked: { size_bytes: number }[] = [];
  let rows: RowFormat | undefined;
  const first = new LineSplitter();
  const pending: Buffer[] = [];
  let pendingBytes = 0;
  let linesEnded = 0;

  const store = async (bytes: Buffer) => {
    if (unpacked.length >= MAX_TASKS_PER_MAP) {
      throw new DomainError(
        'InputDataError',
        `${file.name} expands to more than ${MAX_TASKS_PER_MAP} ranges; set a larger range_bytes`,
        {
          field: 'range_bytes',
        },
      );
    }
    const key = ctx.scratchKey(`range-${unpacked.length}`);
    await ctx.objects.put({ key, body: bytes, contentType: 'application/octet-stream' });
    unpacked.push({ size_bytes: bytes.length });
  };
  try {
    for await (const chunk of packed.pipe(gunzip) as AsyncIterable<Buffer>) {
      await ctx.heartbeat();
      if (!rows) {
        const lines = first.push(chunk);
        if (lines.length > 0) rows = formatOf(ctx, file, lines[0]);
      }
      pending.push(chunk);
      pendingBytes += chunk.length;
      linesEnded += countNewlines(chunk);
      if (pendingBytes < ctx.input.range_bytes) continue;
      const newline = chunk.lastIndexOf(10);
      if (newline < 0) {
        // All that is beyond the range is of one line: a small gzip file must not fill the memory with it.
        if (pendingBytes > ctx.input.range_bytes + MAX_LINE_BYTES) {
          const message = `line ${linesEnded + 1} of ${file.name} is longer than ${MAX_LINE_BYTES} bytes`;
          throw new DomainError('InputDataError', message, { field: 'file_id' });
        }
        continue;
      }
      const all = Buffer.concat(pending.splice(0));
      const cut = all.length - chunk.length + newline + 1;
      await store(all.subarray(0, cut));
      pending.push(all.subarray(cut));
      pendingBytes = all.length - cut;
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new DomainError(
        'InputDataError',
        `${file.name} is not a complete gzip file`,
        { field: 'file_id' },
        { cause: error },
      );
    }
    throw error;
  } finally {
    packed.destroy();
  }
  if (pendingBytes > 0) await store(Buffer.concat(pending));
  rows ??= formatOf(ctx, file, first.end()[0] ?? '');
  return { rows, items: [...unpacked.keys()], range_bytes: ctx.input.range_bytes, unpacked };
}
