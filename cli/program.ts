import { Command, InvalidArgumentError, Option } from 'commander';
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
Where to: --url and --api-key, or MILLRACE_URL and MILLRACE_API_KEY, or ./.millrace/credentials.json.

Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    not found, or the credential is missing or does not allow it
  4    the job failed or was cancelled
  130  interrupted; an upload's session is kept

Examples:
  $ millrace upload measurements.csv
  $ millrace --json upload photos/ notes.txt
  $ millrace resume upl_01JD3Z8J3V8K4N5Q6R7S8T9V0W measurements.csv
  $ millrace run inference --file file_id=measurements.csv --wait
  $ millrace run training --input environment=acrobot --input seed=7 --wait
  $ millrace --json jobs --state failed | jq -r .job.id
  $ MILLRACE_API_KEY=$ROOT_SECRET millrace keys create --name ci --tenant acme`;

const UPLOAD_STATES = ['open', 'completing', 'completed', 'aborted', 'expired', 'rejected'];
const JOB_STATES = ['creating', 'queued', 'running', 'cancelling', 'completed', 'failed', 'cancelled'];

/** Commands and flags; `start` makes a command's session of the global flags, and `finish` gets its exit code. */
export function buildProgram(start: (flags: GlobalFlags) => Session, finish: (exit: ExitCode) => void): Command {
  const program = new Command('millrace')
    .description('Uploads that can’t be lost, and the jobs that run on them.')
    .version(manifest.version)
    .option('--url <url>', 'URL of the server')
    .option('--api-key <key>', 'API key or token')
    .option('--state-dir <folder>', 'where unfinished uploads are noted (default: ~/.local/state/millrace)')
    .option('--json', 'one JSON object a line on stdout')
    .option('-q, --quiet', 'results and errors only')
    .option('--verbose', 'stack traces of errors')
    .addHelpText('after', HELP)
    .showHelpAfterError('(millrace --help shows what there is)')
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
    'parts sent at the same time, 1 to 64; adapts when left out',
  ).argParser(integer(1, 64));
  program
    .command('upload')
    .description('upload files and folders; stopped, the same command goes on where it was')
    .argument('<path...>')
    .option('--name <name>', 'another name than the file’s own')
    .option('--content-type <type>', 'media type; the content is checked against it')
    .addOption(concurrency)
    .option('--part-size <size>', 'such as 64MiB; picked by the file’s size when left out', parseSize)
    .option('--no-resume', 'begin anew, whatever a command that was stopped has sent')
    .action(action(uploadFiles));
  program
    .command('resume')
    .description('go on with an upload, also from another machine')
    .argument('<upload-id>')
    .argument('<file>')
    .addOption(concurrency)
    .action(action(resumeUpload));
  const limit = () => new Option('-n, --limit <count>', 'at most so many').argParser(integer(1, 1_000_000)).default(50);
  program
    .command('ls')
    .description('list files, newest first')
    .option('--uploads', 'upload sessions instead')
    .addOption(new Option('--state <state>', 'upload sessions in this state').choices(UPLOAD_STATES))
    .addOption(
      new Option('--idle-seconds <seconds>', 'open sessions that no part has reached for so long, and their cost')
        .argParser(integer(1, 1_000_000_000))
        .conflicts('state'),
    )
    .option('--deleted', 'deleted files that can be restored')
    .addOption(limit())
    .action(action(listFiles));
  program
    .command('rm')
    .description('delete a file; it can be restored for some days')
    .argument('<file-id>')
    .option('--permanent', 'for good')
    .action(action(deleteFile));
  program.command('restore').description('bring back a deleted file').argument('<file-id>').action(action(restoreFile));
  program.command('usage').description('what the tenant uses of its quotas').action(action(showUsage));
  program
    .command('download')
    .description('download a file and compare it with its receipt')
    .argument('<file-id>')
    .option('-o, --output <path>', 'where to: a file, or a folder for the file under its own name; here when left out')
    .action(action(download));
  program
    .command('verify')
    .description('compare a local file with the receipt of an uploaded one, without a download')
    .argument('<file>')
    .argument('<file-id>')
    .action(action(verify));
  program
    .command('run')
    .description('run a workflow')
    .argument('<workflow>')
    .option('-i, --input <name=value>', 'an input; the value is JSON where it can be', append, [])
    .option('--input-json <object>', 'all inputs at once')
    .option('-f, --file <name=file>', 'an input that is a file: its id, or a path that is uploaded first', append, [])
    .option('--max-retries <count>', 'automatic retries of failures that may heal', integer(0, 10))
    .option('-w, --wait', 'until the job has ended')
    .action(action(runWorkflow));
  program
    .command('jobs')
    .description('list jobs, newest first')
    .addOption(new Option('--state <state>').choices(JOB_STATES))
    .option('--workflow <name>')
    .option('--since <when>', 'created then or later: 30m, 24h or 7d ago, or such as 2026-01-31T08:00:00Z', parseMoment)
    .option('--until <when>', 'created before then', parseMoment)
    .addOption(limit())
    .action(action(listJobs));
  program.command('job').description('a job with its tasks and artifacts').argument('<job-id>').action(action(showJob));
  program
    .command('watch')
    .description('a job’s events until it has ended')
    .argument('<job-id>')
    .action(action(watchJob));
  program.command('cancel').description('cancel a job').argument('<job-id>').action(action(cancelJob));
  program
    .command('retry')
    .description('run a failed or cancelled job again; completed tasks are skipped')
    .argument('<job-id>')
    .option('-w, --wait', 'until the job has ended')
    .action(action(retryJob));
  const batches = program.command('batch').description('many jobs with common counters');
  batches
    .command('create')
    .description('queue the jobs that a file lists: NDJSON, each line {"workflow": …, "input": {…}}')
    .argument('<file>', 'a path, which is uploaded first, or the id of a file')
    .option('--name <name>')
    .option('--workflow <name>', 'of the lines that name none')
    .option('--max-retries <count>', 'of the lines that name none', integer(0, 10))
    .option('-w, --wait', 'until the last job has ended')
    .action(action(createBatch));
  batches.command('ls').description('list batches, newest first').addOption(limit()).action(action(listBatches));
  batches
    .command('watch')
    .description('a batch’s progress until its last job has ended')
    .argument('<batch-id>')
    .action(action(watchBatch));
  batches
    .command('items')
    .description('a batch’s jobs; with --json and --state failed, its error file')
    .argument('<batch-id>')
    .addOption(new Option('--state <state>').choices(JOB_STATES))
    .addOption(limit())
    .action(action(listBatchItems));
  batches
    .command('cancel')
    .description('cancel every job that has not ended')
    .argument('<batch-id>')
    .action(action(cancelBatch));
  batches
    .command('retry')
    .description('run the failed jobs again')
    .argument('<batch-id>')
    .option('-w, --wait', 'until the last job has ended')
    .action(action(retryBatch));
  program
    .command('stats')
    .description('jobs by marketplace and state')
    .argument('[marketplace]')
    .action(action(showStats));
  program.command('workflows').description('the workflows and their inputs').action(action(listWorkflows));

  program
    .command('bridge')
    .description('do what jobs ask for on Vinted, by a program of yours: docs/publishing.md')
    .argument('<program...>', 'gets a command as JSON on stdin, prints its result as JSON; after -- it may have flags')
    .option('--account <account-id>', 'do what is to be done on this account only; on all when left out')
    .option('--journal <folder>', 'where what is done is noted (default: ~/.local/state/millrace/bridge)')
    .action(action(runBridge));

  const webhooks = program.command('webhooks').description('addresses that are told what happens');
  webhooks
    .command('create')
    .description('have an address told, and print the secret that verifies its messages')
    .argument('<url>')
    .option('--event <event...>', 'such as job.completed; all when left out')
    .option('--description <text>')
    .action(action(createWebhook));
  webhooks.command('ls').description('list webhooks').action(action(listWebhooks));
  webhooks.command('rm').description('delete a webhook').argument('<webhook-id>').action(action(deleteWebhook));
  webhooks
    .command('rotate')
    .description('give a webhook a new secret and print it')
    .argument('<webhook-id>')
    .option('--overlap-hours <hours>', 'how long the secret before is good (default: 24)', integer(0, 168))
    .action(action(rotateSecret));
  webhooks
    .command('deliveries')
    .description('messages to a webhook and what became of them, newest first')
    .argument('<webhook-id>')
    .addOption(limit())
    .action(action(listDeliveries));
  webhooks
    .command('redeliver')
    .description('send a message again')
    .argument('<webhook-id>')
    .argument('<delivery-id>')
    .action(action(redeliver));

  const keys = program.command('keys').description('API keys; they need the root secret or an owner’s key');
  keys
    .command('create')
    .description('create a key and print its secret')
    .requiredOption('--name <name>')
    .option('--tenant <id>', 'the tenant; needed with the root secret')
    .addOption(new Option('--role <role>').choices(['owner', 'editor', 'viewer']))
    .option('--scope <scope...>', 'such as uploads:read; all of the role when left out')
    .option('--expires-in-days <days>', 'never when left out', integer(1, 3_650))
    .action(action(createKey));
  keys.command('ls').description('list keys').option('--tenant <id>').action(action(listKeys));
  keys
    .command('revoke')
    .description('revoke a key')
    .argument('<key-id>')
    .option('--tenant <id>')
    .action(action(revokeKey));
  return program;
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
  };
}

const SIZE_UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+) ?(?:([kmg])i?b?)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * (SIZE_UNITS[unit.toLowerCase()] ?? 0);
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('It is a size such as 64MiB.');
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A moment as the API takes it, which looks closer at it. */
function parseMoment(text: string): string {
  const [, amount, unit = ''] = /^(\d{1,5})([smhd])$/.exec(text) ?? [];
  if (amount) return new Date(Date.now() - Number(amount) * (SECONDS[unit] ?? 0) * 1_000).toISOString();
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return `${text}T00:00:00Z`;
  if (/^\d{4}-\d\d-\d\dT/.test(text)) return text;
  throw new InvalidArgumentError('It is so long ago (30s, 15m, 24h, 7d), a day (2026-01-31, in UTC) or a moment.');
}

function append(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
