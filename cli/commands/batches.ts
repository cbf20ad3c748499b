import { type Batch, type BatchItem, JOB_STATES, type Millrace, MillraceError, paginate } from 'millrace';
import { EXIT, type ExitCode } from '../exit.ts';
import { table } from '../output.ts';
import { showProgress } from '../progress.ts';
import type { Session } from '../session.ts';
import { collect } from './collect.ts';
import { uploadOne } from './upload.ts';

export interface CreateBatchFlags {
  readonly name?: string;
  readonly workflow?: string;
  readonly maxRetries?: number;
  readonly wait?: boolean;
}

/** Queues the jobs that a file lists, which is uploaded first where a path is given. */
export async function createBatch(session: Session, file: string, flags: CreateBatchFlags): Promise<ExitCode> {
  const { name, workflow, maxRetries, wait } = flags;
  const millrace = await session.connect();
  const fileId = /^file_[0-9A-Z]{26}$/.test(file) ? file : (await uploadOne(session, millrace, file, {})).id;
  const body = {
    file_id: fileId,
    ...(name && { name }),
    ...(workflow && { workflow }),
    ...(maxRetries !== undefined && { max_retries: maxRetries }),
  };
  const batch = await millrace.batches.create(body, { signal: session.signal });
  session.output.result({ type: 'batch', batch }, describeBatch(batch));
  return wait ? follow(session, millrace, batch.id) : EXIT.ok;
}

export async function listBatches({ output, connect }: Session, { limit }: { limit: number }): Promise<ExitCode> {
  const millrace = await connect();
  const batches = await collect(
    paginate((cursor) => millrace.batches.list({ cursor })),
    limit,
  );
  const rows = batches.map((batch) => [
    batch.id,
    batch.state,
    `${batch.percent} %`,
    String(batch.total),
    String(batch.failed),
    batch.created_at,
    batch.name ?? '',
  ]);
  output.list('batch', batches, table(['BATCH', 'STATE', 'DONE', 'JOBS', 'FAILED', 'CREATED', 'NAME'], rows));
  return EXIT.ok;
}

export async function watchBatch(session: Session, batchId: string): Promise<ExitCode> {
  return follow(session, await session.connect(), batchId);
}

export async function listBatchItems(
  { output, connect }: Session,
  batchId: string,
  { state, limit }: { readonly state?: BatchItem['state']; readonly limit: number },
): Promise<ExitCode> {
  const millrace = await connect();
  const items = await collect(
    paginate((cursor) => millrace.batches.items(batchId, { cursor, ...(state && { state }) })),
    limit,
  );
  const rows = items.map((item) => [String(item.index), item.job_id ?? '', item.state, item.error?.message ?? '']);
  output.list('item', items, table(['ITEM', 'JOB', 'STATE', 'ERROR'], rows));
  return EXIT.ok;
}

export async function cancelBatch({ output, connect }: Session, batchId: string): Promise<ExitCode> {
  const batch = await (await connect()).batches.cancel(batchId);
  output.result({ type: 'batch', batch }, describeBatch(batch));
  return EXIT.ok;
}

export async function retryBatch(
  session: Session,
  batchId: string,
  { wait }: { readonly wait?: boolean },
): Promise<ExitCode> {
  const millrace = await session.connect();
  const batch = await millrace.batches.retry(batchId);
  session.output.result({ type: 'batch', batch }, describeBatch(batch));
  return wait ? follow(session, millrace, batchId) : EXIT.ok;
}

export async function showStats({ output, connect }: Session, label: string | undefined): Promise<ExitCode> {
  const stats = await (await connect()).batches.stats(label);
  const states = JOB_STATES.filter((state) => state !== 'creating');
  const rows = stats.map(({ label: name, jobs }) => [name, ...states.map((state) => String(jobs[state]))]);
  output.list('stats', stats, table(['LABEL', ...states.map((state) => state.toUpperCase())], rows));
  return EXIT.ok;
}

/** Shows a batch's progress until its last job has ended. */
async function follow({ output, signal }: Session, millrace: Millrace, batchId: string): Promise<ExitCode> {
  const progress = showProgress(output, batchId);
  const onProgress = (batch: Batch) => {
    const { percent, state, total, completed, failed, cancelled } = batch;
    const text = `${completed + failed + cancelled} of ${total} jobs${failed > 0 ? `, ${failed} failed` : ''}`;
    progress.update({ percent, phase: state, text, data: { total, completed, failed, cancelled } });
  };
  let batch: Batch;
  try {
    batch = await millrace.batches.wait(batchId, { signal, onProgress, onRetry: progress.retrying });
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'AbortedError') {
      progress.stop();
      output.note(`The batch continues. To follow it again: millrace batch watch ${batchId}`);
    }
    throw error;
  } finally {
    progress.stop();
  }
  const hint = batch.failed > 0 ? `\nTo see why: millrace batch items ${batchId} --state failed` : '';
  output.result({ type: 'ended', batch }, `${describeBatch(batch)}${hint}`);
  return batch.state === 'completed' ? EXIT.ok : EXIT.jobNotCompleted;
}

function describeBatch({ id, state, total, completed, failed, cancelled }: Batch): string {
  return `${id}  ${state}  ${completed} of ${total} jobs completed, ${failed} failed, ${cancelled} cancelled`;
}
