import {
  type Artifact,
  type Checkpoint,
  type Job,
  type JobEvent,
  MAX_QUEUE_POSITION,
  type Millrace,
  MillraceError,
  paginate,
} from 'millrace';
import { EXIT, type ExitCode, UsageError } from '../exit.ts';
import { formatBytes, formatSeconds, table } from '../output.ts';
import { showProgress } from '../progress.ts';
import type { Session } from '../session.ts';
import { collect } from './collect.ts';
import { uploadOne } from './upload.ts';

/** Above so many, artifacts that differ by a number are not listed one by one after a run. */
const MANY_ARTIFACTS = 4;

export interface RunFlags {
  readonly input: readonly string[];
  readonly inputJson?: string;
  readonly file: readonly string[];
  readonly maxRetries?: number;
  readonly wait?: boolean;
}

/** Creates a job, of files that are uploaded first where a path is given. */
export async function runWorkflow(session: Session, workflow: string, flags: RunFlags): Promise<ExitCode> {
  const input: Record<string, unknown> = { ...parseJsonObject(flags.inputJson), ...parseFields(flags.input) };
  const files = flags.file.map((field) => splitField(field, '--file'));
  const millrace = await session.connect();
  for (const [field, file] of files) {
    input[field] = /^file_[0-9A-Z]{26}$/.test(file) ? file : (await uploadOne(session, millrace, file, {})).id;
  }
  const job = await millrace.jobs.create(workflow, input, {
    signal: session.signal,
    ...(flags.maxRetries !== undefined && { maxRetries: flags.maxRetries }),
  });
  session.output.result({ type: 'job', job }, `${job.id}  ${job.state}`);
  return flags.wait ? follow(session, millrace, job.id) : EXIT.ok;
}

export async function listJobs(
  { output, connect }: Session,
  flags: {
    readonly state?: Job['state'];
    readonly workflow?: string;
    readonly since?: string;
    readonly until?: string;
    readonly limit: number;
  },
): Promise<ExitCode> {
  const { limit, since, until, ...filter } = flags;
  const query = { ...filter, created_after: since, created_before: until };
  const millrace = await connect();
  const jobs = await collect(
    paginate((cursor) => millrace.jobs.list({ ...query, cursor })),
    limit,
  );
  const rows = jobs.map((job) => [job.id, job.state, `${job.progress.percent} %`, job.created_at, job.workflow]);
  output.list('job', jobs, table(['JOB', 'STATE', 'DONE', 'CREATED', 'WORKFLOW'], rows));
  return EXIT.ok;
}

/** A job with its tasks, checkpoints and artifacts. */
export async function showJob({ output, connect }: Session, jobId: string): Promise<ExitCode> {
  const millrace = await connect();
  const job = await millrace.jobs.get(jobId);
  const tasks = await collect(paginate((cursor) => millrace.jobs.tasks(jobId, { cursor })));
  const checkpoints = job.checkpoint
    ? await collect(paginate((cursor) => millrace.jobs.checkpoints(jobId, { cursor })))
    : [];
  const artifacts = await artifactsOf(millrace, jobId);
  const taskRows = tasks.map((task) => [task.id, task.state, String(task.attempts), task.error?.message ?? '']);
  const text = [
    describeJob(job),
    ...(tasks.length > 0 ? ['', table(['TASK', 'STATE', 'ATTEMPTS', 'ERROR'], taskRows)] : []),
    ...(artifacts.length > 0 ? ['', describeArtifacts(artifacts)] : []),
  ].join('\n');
  output.result({ type: 'job', job, tasks, checkpoints, artifacts }, text);
  return EXIT.ok;
}

export async function watchJob(session: Session, jobId: string): Promise<ExitCode> {
  return follow(session, await session.connect(), jobId);
}

export async function cancelJob({ output, connect }: Session, jobId: string): Promise<ExitCode> {
  const job = await (await connect()).jobs.cancel(jobId);
  output.result({ type: 'job', job }, `${job.id}  ${job.state}`);
  return EXIT.ok;
}

export async function retryJob(session: Session, jobId: string, flags: { readonly wait?: boolean }): Promise<ExitCode> {
  const millrace = await session.connect();
  const job = await millrace.jobs.retry(jobId);
  session.output.result({ type: 'job', job }, `${job.id}  ${job.state}`);
  return flags.wait ? follow(session, millrace, jobId) : EXIT.ok;
}

export async function listWorkflows({ output, connect }: Session): Promise<ExitCode> {
  const workflows = await (await connect()).workflows.list();
  const rows = workflows.map(({ name, description, input }) => {
    const fields = Object.keys((input.properties as object | undefined) ?? {}).join(', ');
    return [name, fields, description];
  });
  output.list('workflow', workflows, table(['WORKFLOW', 'INPUT', 'DESCRIPTION'], rows));
  return EXIT.ok;
}

/** Shows a job's events until it has ended. */
async function follow(session: Session, millrace: Millrace, jobId: string): Promise<ExitCode> {
  const { output, signal } = session;
  const progress = showProgress(output, jobId);
  const onEvent = (event: JobEvent) => {
    output.event({ ...event });
    if (event.type === 'job.progress' && !output.json) {
      const { percent, phase, eta_seconds } = event.data.progress;
      const eta = eta_seconds === undefined ? '' : `, ${formatSeconds(eta_seconds)} left`;
      progress.update({ percent, phase, text: `${describeProgress(event.data.progress)}${eta}`, data: {} });
    }
  };
  let job: Job;
  try {
    job = await millrace.jobs.wait(jobId, { signal, onEvent, onRetry: progress.retrying });
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'AbortedError') {
      progress.stop();
      output.note(`The job continues. To follow it again: millrace watch ${jobId}`);
    }
    throw error;
  } finally {
    progress.stop();
  }
  const artifacts = await artifactsOf(millrace, jobId);
  const text =
    artifacts.length > 0 ? `${describeJob(job)}\n\n${describeSomeArtifacts(artifacts, jobId)}` : describeJob(job);
  output.result({ type: 'ended', job, artifacts }, text);
  return job.state === 'completed' ? EXIT.ok : EXIT.jobNotCompleted;
}

async function artifactsOf(millrace: Millrace, jobId: string): Promise<Artifact[]> {
  return collect(paginate((cursor) => millrace.jobs.artifacts(jobId, { cursor })));
}

function describeJob(job: Job): string {
  const { percent, phase } = job.progress;
  const place = job.queue_position === undefined ? '' : `, position ${describePlace(job.queue_position)}`;
  const state = `${job.state}${place}${job.error ? `: ${job.error.message} (${job.error.code})` : ''}`;
  return [
    `${job.id}  ${job.workflow}  ${state}`,
    `${percent} %, ${describeProgress(job.progress)}${phase ? `, ${phase}` : ''}, attempt ${job.attempt}`,
    ...(job.checkpoint ? [describeCheckpoint(job.checkpoint)] : []),
  ].join('\n');
}

/** How many tasks are done, and the job's own measures. */
function describeProgress({ completed_tasks, total_tasks, detail = {} }: Job['progress']): string {
  const measures = Object.entries(detail).map(([name, value]) => `, ${name.replaceAll('_', ' ')} ${round(value)}`);
  return `${completed_tasks} of ${total_tasks} tasks${measures.join('')}`;
}

function describeCheckpoint({ iteration, age_seconds, checksum_sha256 }: Checkpoint): string {
  return `last checkpoint: iteration ${iteration}, ${formatSeconds(age_seconds)} ago, sha256 ${checksum_sha256}`;
}

/** To one digit after the point. */
function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function describePlace(position: number): string {
  return position > MAX_QUEUE_POSITION ? `beyond ${MAX_QUEUE_POSITION}` : String(position);
}

/** Of many with a number in their names, the first stands for the others. */
function describeSomeArtifacts(artifacts: readonly Artifact[], jobId: string): string {
  const numbered = artifacts.filter(({ name }) => /\d/.test(name));
  if (numbered.length < MANY_ARTIFACTS) return describeArtifacts(artifacts);
  const shown = artifacts.filter((artifact) => artifact === numbered[0] || !numbered.includes(artifact));
  return `${describeArtifacts(shown)}\nand ${numbered.length - 1} more like ${numbered[0]?.name}: millrace job ${jobId}`;
}

function describeArtifacts(artifacts: readonly Artifact[]): string {
  const rows = artifacts.map(({ name, size_bytes, partial, url }) => [
    partial ? `${name} (partial)` : name,
    formatBytes(size_bytes),
    url,
  ]);
  return table(['ARTIFACT', 'SIZE', 'URL'], rows);
}

/** `k=v`: v as JSON where it is JSON, such as `5`, `true` or `["a"]`, and else as text. */
function parseFields(fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    fields.map((field) => {
      const [name, text] = splitField(field, '--input');
      try {
        return [name, JSON.parse(text) as unknown];
      } catch {
        return [name, text];
      }
    }),
  );
}

function splitField(field: string, flag: string): [name: string, value: string] {
  const at = field.indexOf('=');
  if (at < 1) throw new UsageError(`${flag} expects name=value, got "${field}"`);
  return [field.slice(0, at), field.slice(at + 1)];
}

function parseJsonObject(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below, like JSON that is not an object.
  }
  throw new UsageError('--input-json expects a JSON object');
}
