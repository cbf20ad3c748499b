import { Command, InvalidArgumentError, Option } from 'commander';
import {
  DEFAULT_MAX_RETRIES,
  DEFAULT_SECRET_OVERLAP_HOURS,
  JOB_STATES,
  MAX_CONCURRENCY,
  MAX_KEY_DAYS,
  MAX_MAX_RETRIES,
  MAX_SECRET_OVERLAP_HOURS,
  ROLES,
  UPLOAD_STATES,
} from 'millrace';
import {
  cancelBatch,
  createBatch,
  listBatches,
  listBatchItems,
  retryBatch,
  showStats,
  watchBatch,
} from './commands/batches.ts';
import { runBridge } from './commands/bridge.ts';
import { deleteFile, download, listFiles, restoreFile, showUsage, verify } from './commands/files.ts';
import { cancelJob, listJobs, listWorkflows, retryJob, runWorkflow, showJob, watchJob } from './commands/jobs.ts';
import { createKey, listKeys, revokeKey } from './commands/keys.ts';
import { resumeUpload, uploadFiles } from './commands/upload.ts';
import {
  createWebhook,
  deleteWebhook,
  listDeliveries,
  listWebhooks,
  redeliver,
  rotateSecret,
} from './commands/webhooks.ts';
import type { ConnectOptions } from './connect.ts';
import type { ExitCode } from './exit.ts';
import type { OutputOptions } from './output.ts';
import manifest from './package.json' with { type: 'json' };
import type { Session } from './session.ts';

export type GlobalFlags = ConnectOptions & Partial<OutputOptions> & { readonly verbose?: boolean };

const HELP = `
The server and the API key are taken from --url and --api-key, from MILLRACE_URL
and MILLRACE_API_KEY, or from ./.millrace/credentials.json, which npm start writes.

Exit codes:
  0    success
  1    failure
  2    invalid usage
  3    not found, or the credential is missing, invalid or lacks permission
  4    the job failed or was cancelled
  130  interrupted; an upload can be resumed

Examples:
  $ millrace upload measurements.csv
  $ millrace --json upload photos/ notes.txt
  $ millrace resume upl_01JD3Z8J3V8K4N5Q6R7S8T9V0W measurements.csv
  $ millrace run inference --file file_id=measurements.csv --wait
  $ millrace run training --input environment=acrobot --input seed=7 --wait
  $ millrace --json jobs --state failed | jq -r .job.id
  $ MILLRACE_API_KEY=$ROOT_SECRET millrace keys create --name ci --tenant acme`;

/** Commands and flags; `start` makes a command's session of the global flags, and `finish` gets its exit code. */
export function buildProgram(start: (flags: GlobalFlags) => Session, finish: (exit: ExitCode) => void): Command {
  const program = new Command('millrace')
    .description('Upload files, and run jobs on them.')
    .version(manifest.version)
    .option('--url <url>', 'server URL')
    .option('--api-key <key>', 'API key or JWT')
    .option('--state-dir <folder>', 'state of unfinished uploads (default: ~/.local/state/millrace)')
    .option('--json', 'print one JSON object per line on stdout')
    .option('-q, --quiet', 'print results and errors only')
    .option('--verbose', 'print stack traces of errors')
    .addHelpText('after', HELP)
    .showHelpAfterError('(run millrace --help for usage)')
    .exitOverride();

  type Run<Args extends unknown[]> = (session: Session, ...args: Args) => Promise<ExitCode>;
  /** An action: commander calls it with the arguments, the flags and the command. */
  const action =
    <Args extends unknown[]>(run: Run<Args>) =>
    async (...given: unknown[]) => {
      const command = given.pop() as Command;
      finish(await run(start(command.optsWithGlobals<GlobalFlags>()), ...(given as Args)));
    };

  const concurrency = new Option(
    '-c, --concurrency <parts>',
    `number of parts to send at the same time, 1 to ${MAX_CONCURRENCY} (default: adapts)`,
  ).argParser(integer(1, MAX_CONCURRENCY));
  program.commandsGroup('Files:');
  program
    .command('upload')
    .summary('upload files and folders')
    .description('upload files and folders; repeat the command to resume an interrupted upload')
    .argument('<path...>', 'files and folders to upload')
    .option('--name <name>', 'name of the uploaded file (default: the local name)')
    .option('--content-type <type>', 'media type; the server checks the content against it')
    .addOption(concurrency)
    .option('--part-size <size>', 'size of each part, such as 64MiB (default: chosen by file size)', parseSize)
    .option('--no-resume', 'start over instead of resuming an interrupted upload')
    .action(action(uploadFiles));
  program
    .command('resume')
    .summary('resume an upload')
    .description('resume an upload on any machine that has the file; parts that have arrived are not sent again')
    .argument('<upload-id>', 'id of the upload session')
    .argument('<file>', 'path of the same file')
    .addOption(concurrency)
    .action(action(resumeUpload));
  const limit = () =>
    new Option('-n, --limit <count>', 'maximum number of items to list').argParser(integer(1, 1_000_000)).default(50);
  program
    .command('ls')
    .description('list files, newest first')
    .option('--uploads', 'list upload sessions instead of files')
    .addOption(new Option('--state <state>', 'list upload sessions in this state').choices(UPLOAD_STATES))
    .addOption(
      new Option(
        '--idle-seconds <seconds>',
        'list open sessions that have received no part for this long, and their cost',
      )
        .argParser(integer(1, 1_000_000_000))
        .conflicts('state'),
    )
    .option('--deleted', 'list deleted files that can still be restored')
    .addOption(limit())
    .action(action(listFiles));
  program
    .command('rm')
    .description('delete a file')
    .argument('<file-id>', 'id of the file')
    .option('--permanent', 'delete it for good; otherwise it can be restored for some days')
    .action(action(deleteFile));
  program
    .command('restore')
    .description('restore a deleted file')
    .argument('<file-id>', 'id of the file')
    .action(action(restoreFile));
  program.command('usage').description('show quotas and usage').action(action(showUsage));
  program
    .command('download')
    .summary('download and verify a file')
    .description('download a file and verify it against its receipt')
    .argument('<file-id>', 'id of the file')
    .option('-o, --output <path>', 'target file, or folder for the file under its own name (default: current folder)')
    .action(action(download));
  program
    .command('verify')
    .summary('compare a local file with an uploaded one')
    .description('compare a local file with the receipt of an uploaded file, without downloading it')
    .argument('<file>', 'path of the local file')
    .argument('<file-id>', 'id of the uploaded file')
    .action(action(verify));
  program.commandsGroup('Jobs:');
  program
    .command('run')
    .summary('create a job')
    .description('create a job that runs a workflow')
    .argument('<workflow>', 'name of the workflow; `millrace workflows` lists them')
    .addOption(repeatable('-i, --input <name=value>', 'set an input field; the value is JSON if it parses, else text'))
    .option('--input-json <object>', 'set all input fields at once')
    .addOption(repeatable('-f, --file <name=file>', 'set an input field to a file: an id, or a path to upload first'))
    .option(
      '--max-retries <count>',
      `automatic retries after retryable errors, 0 to ${MAX_MAX_RETRIES} (default: ${DEFAULT_MAX_RETRIES})`,
      integer(0, MAX_MAX_RETRIES),
    )
    .option('-w, --wait', 'wait until the job ends')
    .action(action(runWorkflow));
  program
    .command('jobs')
    .description('list jobs, newest first')
    .addOption(new Option('--state <state>', 'list jobs in this state').choices(JOB_STATES))
    .option('--workflow <name>', 'list jobs of this workflow')
    .option(
      '--since <time>',
      'created at or after this time: 30m, 24h or 7d ago, 2026-01-31, 2026-01-31T08:00:00Z',
      parseTime,
    )
    .option('--until <time>', 'created before this time', parseTime)
    .addOption(limit())
    .action(action(listJobs));
  program
    .command('job')
    .description('show a job, its tasks and artifacts')
    .argument('<job-id>', 'id of the job')
    .action(action(showJob));
  program
    .command('watch')
    .description('follow a job until it ends')
    .argument('<job-id>', 'id of the job')
    .action(action(watchJob));
  program.command('cancel').description('cancel a job').argument('<job-id>', 'id of the job').action(action(cancelJob));
  program
    .command('retry')
    .summary('retry a failed or cancelled job')
    .description('retry a failed or cancelled job; completed tasks are skipped')
    .argument('<job-id>', 'id of the job')
    .option('-w, --wait', 'wait until the job ends')
    .action(action(retryJob));
  const batches = program.command('batch').description('manage batches of jobs');
  batches
    .command('create')
    .description('create the jobs listed in an NDJSON file, one {"workflow": …, "input": {…}} per line')
    .argument('<file>', 'path of the file to upload first, or id of an uploaded file')
    .option('--name <name>', 'name of the batch')
    .option('--workflow <name>', 'workflow for lines that name none')
    .option(
      '--max-retries <count>',
      `automatic retries for lines that set none, 0 to ${MAX_MAX_RETRIES}`,
      integer(0, MAX_MAX_RETRIES),
    )
    .option('-w, --wait', 'wait until the last job ends')
    .action(action(createBatch));
  batches.command('ls').description('list batches, newest first').addOption(limit()).action(action(listBatches));
  batches
    .command('watch')
    .description('follow a batch until its last job ends')
    .argument('<batch-id>', 'id of the batch')
    .action(action(watchBatch));
  batches
    .command('items')
    .description('list the jobs of a batch; --state failed shows why jobs failed')
    .argument('<batch-id>', 'id of the batch')
    .addOption(new Option('--state <state>', 'list jobs in this state').choices(JOB_STATES))
    .addOption(limit())
    .action(action(listBatchItems));
  batches
    .command('cancel')
    .description('cancel all jobs that have not ended')
    .argument('<batch-id>', 'id of the batch')
    .action(action(cancelBatch));
  batches
    .command('retry')
    .description('retry all failed jobs')
    .argument('<batch-id>', 'id of the batch')
    .option('-w, --wait', 'wait until the last job ends')
    .action(action(retryBatch));
  program
    .command('stats')
    .summary('count jobs by label and state')
    .description('count jobs by label, such as the marketplace, and by state')
    .argument('[label]', 'count jobs with this label only')
    .action(action(showStats));
  program.command('workflows').description('list workflows and their inputs').action(action(listWorkflows));

  program.commandsGroup('Administration:');
  program
    .command('bridge')
    .summary('run a seller’s bridge to Vinted')
    .description('carry out commands for Vinted with a program of your own; see docs/publishing.md')
    .argument(
      '<program...>',
      'program that reads a command as JSON on stdin and prints the result as JSON; put -- before it if it has flags',
    )
    .option('--account <account-id>', 'marketplace account to work for (default: all)')
    .option('--journal <folder>', 'folder that records results (default: ~/.local/state/millrace/bridge)')
    .action(action(runBridge));

  const webhooks = program
    .command('webhooks')
    .summary('manage webhooks')
    .description('send events to URLs of your own');
  webhooks
    .command('create')
    .description('create a webhook and print the secret that verifies its messages')
    .argument('<url>', 'https URL that receives the messages')
    .option('--event <event...>', 'event types, such as job.completed (default: all but progress and passing states)')
    .option('--description <text>', 'note for yourself')
    .action(action(createWebhook));
  webhooks.command('ls').description('list webhooks').action(action(listWebhooks));
  webhooks
    .command('rm')
    .description('delete a webhook')
    .argument('<webhook-id>', 'id of the webhook')
    .action(action(deleteWebhook));
  webhooks
    .command('rotate')
    .description('replace the secret of a webhook and print the new one')
    .argument('<webhook-id>', 'id of the webhook')
    .option(
      '--overlap-hours <hours>',
      `hours for which the previous secret stays valid, 0 to ${MAX_SECRET_OVERLAP_HOURS} (default: ${DEFAULT_SECRET_OVERLAP_HOURS})`,
      integer(0, MAX_SECRET_OVERLAP_HOURS),
    )
    .action(action(rotateSecret));
  webhooks
    .command('deliveries')
    .description('list messages to a webhook and their outcome, newest first')
    .argument('<webhook-id>', 'id of the webhook')
    .addOption(limit())
    .action(action(listDeliveries));
  webhooks
    .command('redeliver')
    .description('send a message again')
    .argument('<webhook-id>', 'id of the webhook')
    .argument('<delivery-id>', 'id of the message')
    .action(action(redeliver));

  const keys = program
    .command('keys')
    .summary('manage API keys')
    .description('manage API keys; requires the root secret or an owner’s key');
  keys
    .command('create')
    .description('create an API key and print it')
    .requiredOption('--name <name>', 'name of the key')
    .option('--tenant <id>', 'tenant of the key; required with the root secret')
    .addOption(new Option('--role <role>', 'role of the key (default: editor)').choices(ROLES))
    .option('--scope <scope...>', 'scopes, such as uploads:read (default: all of the role)')
    .option(
      '--expires-in-days <days>',
      `lifetime in days, 1 to ${MAX_KEY_DAYS} (default: unlimited)`,
      integer(1, MAX_KEY_DAYS),
    )
    .action(action(createKey));
  keys
    .command('ls')
    .description('list API keys')
    .option('--tenant <id>', 'tenant; required with the root secret')
    .action(action(listKeys));
  keys
    .command('revoke')
    .description('revoke an API key')
    .argument('<key-id>', 'id of the key')
    .option('--tenant <id>', 'tenant; required with the root secret')
    .action(action(revokeKey));
  return program;
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected an integer from ${least} to ${most}.`);
  };
}

const SIZE_UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+) ?(?:([kmg])i?b?)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * (SIZE_UNITS[unit.toLowerCase()] ?? 0);
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('Expected a size such as 64MiB.');
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A time as the API takes it; the API validates it fully. */
function parseTime(text: string): string {
  const [, amount, unit = ''] = /^(\d{1,5})([smhd])$/.exec(text) ?? [];
  if (amount) return new Date(Date.now() - Number(amount) * (SECONDS[unit] ?? 0) * 1_000).toISOString();
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return `${text}T00:00:00Z`;
  if (/^\d{4}-\d\d-\d\dT/.test(text)) return text;
  throw new InvalidArgumentError(
    'Expected a duration (30s, 15m, 24h, 7d), a UTC date (2026-01-31) or an RFC 3339 timestamp.',
  );
}

/** An option that may be given several times. */
function repeatable(flags: string, description: string): Option {
  const append = (value: string, before: readonly string[]) => [...before, value];
  return new Option(flags, description).argParser(append).default([], 'none; may be repeated');
}
