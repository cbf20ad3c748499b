import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as z from 'zod/mini';
import type { TenantId } from '../contract/common.ts';
import { ROLE_SCOPES } from '../contract/keys.ts';
import { DEFAULT_RETRY_DELAY_SECONDS, DEFAULT_RUNNING_JOBS_PER_TENANT, DELETED_FILE_DAYS } from '../contract/limits.ts';
import { MarketplaceSettings } from '../contract/publishing.ts';
import { Quotas } from '../contract/uploads.ts';
import type { KeyStore } from '../lambdas/identity/public.ts';
import { jsonText } from '../lambdas/runtime/config.ts';
import manifest from '../package.json' with { type: 'json' };
import { readJson, SetupError, shortPath, writeDurably } from './data-folder.ts';
import { runDemo } from './demo.ts';
import { startMillrace } from './millrace.ts';

const HELP = `Millrace ${manifest.version}, the single-machine edition.

npm start [-- OPTIONS]

Starts the server, and at the first start does the main job once: makes a file, uploads it, scores its rows.

  --demo            do the main job at a later start too
  --once            end after the main job; exit code 0 if all of it went right
  --serve-only      no main job
  --size SIZE       of the file that the main job makes, such as 64MB (default 300MB)
  --port PORT       0 for any free one (default 4780)
  --host HOST       address to listen on (default 127.0.0.1)
  --public-url URL  where clients reach the server, if not there: it goes into presigned URLs
  --running-jobs N  jobs of one tenant that run at the same time (default ${DEFAULT_RUNNING_JOBS_PER_TENANT})
  --retry-delay SECONDS
                    before a job's first automatic retry (default ${DEFAULT_RETRY_DELAY_SECONDS}); each further one waits
                    twice as long
  --quotas JSON     of every tenant: stored_bytes, bytes_per_day, open_sessions, such as '{"open_sessions":100}'
  --deleted-file-days N
                    for so long deleted files can be restored (default ${DELETED_FILE_DAYS}); 0: not at all
  --marketplaces JSON
                    where they are, if not at their own addresses, such as their sandboxes: ebay_url, ebay_media_url,
                    etsy_url, timeout_seconds
  --webhooks-to-private
                    let webhooks lead to addresses that are not public, and by http
  --data FOLDER     where all data is (default ./.millrace)
  --help
`;

/** Of the key that the first start makes. */
const TENANT = 'main' as TenantId;

const Credentials = z.object({ url: z.string(), api_key: z.string() });

async function main(): Promise<void> {
  const options = readOptions();
  if (!options) return void process.stdout.write(HELP);
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve()));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // The first signal lets the server end in order, the second doesn't wait for it.
      if (stopping.signal.aborted) process.exit(130);
      stopping.abort(new SetupError('stopped'));
    });
  }

  const data = resolve(options.data);
  const millrace = await startMillrace({ ...options, data });
  try {
    const apiKey = await provideKey(millrace.keys, data, millrace.url);
    sayWhere(millrace.url, data);
    const file = join(data, 'demo', `measurements-${options.sizeBytes / 1e6}MB.csv`);
    const runs = options.once || options.demo || (!options.serveOnly && !existsSync(file));
    if (runs) {
      const { url } = millrace;
      const ok = await runDemo({ url, apiKey, file, sizeBytes: options.sizeBytes, signal: stopping.signal });
      if (!ok) process.exitCode = 1;
      say(ok ? '\nAll of it went right.' : `\nThe main job failed; ${shortPath(join(data, 'server.log'))} tells more.`);
    }
    if (options.once) return;
    sayHowToGoOn(millrace.url, data);
    await stopped;
  } finally {
    await millrace.close();
  }
}

interface Options {
  readonly port: number;
  readonly host: string;
  readonly publicUrl: string | undefined;
  readonly data: string;
  readonly runningJobsPerTenant: number;
  readonly retryDelaySeconds: number;
  readonly quotas: Quotas;
  readonly deletedFileDays: number;
  readonly marketplaces: MarketplaceSettings;
  readonly webhooksToPrivate: boolean;
  readonly sizeBytes: number;
  readonly once: boolean;
  readonly demo: boolean;
  readonly serveOnly: boolean;
}

/** Undefined when help is asked for. */
function readOptions(): Options | undefined {
  const { values } = parse();
  if (values.help) return undefined;
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new SetupError(`--port takes a number from 0 to 65535, not ${values.port}`);
  }
  const publicUrl = values['public-url'];
  if (publicUrl !== undefined && !/^https?:$/.test(URL.parse(publicUrl)?.protocol ?? '')) {
    throw new SetupError(`--public-url takes a URL such as https://uploads.example.com, not ${publicUrl}`);
  }
  const runningJobsPerTenant = Number(values['running-jobs']);
  if (!Number.isInteger(runningJobsPerTenant) || runningJobsPerTenant < 1) {
    throw new SetupError(`--running-jobs takes a whole number from 1 on, not ${values['running-jobs']}`);
  }
  const retryDelaySeconds = Number(values['retry-delay']);
  if (!(retryDelaySeconds >= 0.05 && retryDelaySeconds <= 3_600)) {
    throw new SetupError(`--retry-delay takes a number of seconds from 0.05 to 3600, not ${values['retry-delay']}`);
  }
  const deletedFileDays = Number(values['deleted-file-days']);
  if (!Number.isInteger(deletedFileDays) || deletedFileDays < 0) {
    throw new SetupError(`--deleted-file-days takes a whole number, not ${values['deleted-file-days']}`);
  }
  if (values.once && values['serve-only']) throw new SetupError('--once and --serve-only exclude each other');
  return {
    port,
    host: values.host,
    publicUrl: publicUrl?.replace(/\/+$/, ''),
    data: values.data,
    runningJobsPerTenant,
    retryDelaySeconds,
    quotas: parseQuotas(values.quotas),
    deletedFileDays,
    marketplaces: parseMarketplaces(values.marketplaces),
    webhooksToPrivate: values['webhooks-to-private'],
    sizeBytes: parseSize(values.size),
    once: values.once,
    demo: values.demo,
    serveOnly: values['serve-only'],
  };
}

function parse() {
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({
      options: {
        once: flag,
        demo: flag,
        'serve-only': flag,
        'webhooks-to-private': flag,
        size: { type: 'string', default: '300MB' },
        port: { type: 'string', default: '4780' },
        host: { type: 'string', default: '127.0.0.1' },
        'public-url': { type: 'string' },
        data: { type: 'string', default: '.millrace' },
        'running-jobs': { type: 'string', default: String(DEFAULT_RUNNING_JOBS_PER_TENANT) },
        'retry-delay': { type: 'string', default: String(DEFAULT_RETRY_DELAY_SECONDS) },
        quotas: { type: 'string', default: '{}' },
        marketplaces: { type: 'string', default: '{}' },
        'deleted-file-days': { type: 'string', default: String(DELETED_FILE_DAYS) },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new SetupError(`${(error as Error).message} (npm start -- --help shows what there is)`);
  }
}

function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,6})(MB|GB)$/i.exec(text) ?? [];
  const bytes = Number(digits) * (unit.toUpperCase() === 'GB' ? 1e9 : 1e6);
  if (bytes > 0) return bytes;
  throw new SetupError(`--size takes a size such as 64MB or 2GB, not ${text}`);
}

function parseQuotas(text: string): Quotas {
  const quotas = jsonText(Quotas).safeParse(text);
  if (quotas.success) return quotas.data;
  throw new SetupError(`--quotas takes JSON such as {"open_sessions":100}, not ${text}`);
}

function parseMarketplaces(text: string): MarketplaceSettings {
  const marketplaces = jsonText(MarketplaceSettings).safeParse(text);
  if (marketplaces.success) return marketplaces.data;
  throw new SetupError(`--marketplaces takes JSON such as {"ebay_url":"https://api.sandbox.ebay.com"}, not ${text}`);
}

/** The key in the data folder's credentials, which the CLI reads; made at the first start. */
async function provideKey(keys: KeyStore, data: string, url: string): Promise<string> {
  const file = join(data, 'credentials.json');
  const kept = await keptKey(keys, file);
  const api_key = kept ?? (await createFirstKey(keys));
  writeDurably(file, `${JSON.stringify({ url, api_key })}\n`);
  return api_key;
}

async function keptKey(keys: KeyStore, file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  const key = readJson(file, Credentials)?.api_key;
  return key && (await keys.findByToken(key)) ? key : undefined;
}

async function createFirstKey(keys: KeyStore): Promise<string> {
  const role = 'owner';
  const { secret } = await keys.create({ tenant_id: TENANT, name: 'first', role, scopes: [...ROLE_SCOPES[role]] });
  return secret;
}

function sayWhere(url: string, data: string): void {
  say(`Millrace ${manifest.version}, single-machine edition`);
  say(`  API   ${url}`);
  say(`  Data  ${shortPath(data)}, with the API key in credentials.json and the log in server.log\n`);
}

function sayHowToGoOn(url: string, data: string): void {
  const found = data === resolve('.millrace');
  say('\nGo on, in another terminal here:');
  if (!found) {
    say(`  export MILLRACE_URL=${url}`);
    say(`  export MILLRACE_API_KEY=$(sed 's/.*"api_key":"\\([^"]*\\)".*/\\1/' ${shortPath(data)}/credentials.json)`);
  }
  say('  npx millrace upload FILE        upload a file of yours; Ctrl-C and the same again resumes');
  say('  npx millrace ls                 files');
  say('  npx millrace jobs               jobs');
  say('  npx millrace --help             everything else');
  say('\nThe server runs until Ctrl-C.');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`millrace: ${error.message}\n`);
  process.exitCode = 1;
}
