import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as z from 'zod/mini';
import type { TenantId } from '../contract/common.ts';
import { ROLE_SCOPES } from '../contract/keys.ts';
import {
  DEFAULT_RETRY_DELAY_SECONDS,
  DEFAULT_RUNNING_JOBS_PER_TENANT,
  DELETED_FILE_DAYS,
  MAX_RETRY_DELAY_SECONDS,
  MIN_RETRY_DELAY_SECONDS,
} from '../contract/limits.ts';
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

Starts the server. The first start also runs a demo: it creates a file, uploads it and scores its rows.

  --demo            run the demo again at a later start
  --once            exit after the demo; exit code 0 if it succeeded
  --serve-only      do not run the demo
  --size SIZE       size of the demo's file, such as 64MB or 2GB (default 300MB)
  --port PORT       port to listen on; 0 picks a free one (default 4780)
  --host HOST       address to listen on (default 127.0.0.1)
  --public-url URL  URL at which clients reach the server, if it differs; used in presigned URLs
  --running-jobs N  jobs that one tenant may run at the same time (default ${DEFAULT_RUNNING_JOBS_PER_TENANT})
  --retry-delay SECONDS
                    longest delay of a job's first automatic retry (default ${DEFAULT_RETRY_DELAY_SECONDS}); doubles each time
  --quotas JSON     quotas of every tenant: stored_bytes, bytes_per_day, open_sessions, such as '{"open_sessions":100}'
  --deleted-file-days N
                    days for which deleted files can be restored (default ${DELETED_FILE_DAYS}; 0 deletes at once)
  --marketplaces JSON
                    addresses of marketplaces, for example of their sandboxes: ebay_url, ebay_media_url, etsy_url;
                    timeout_seconds
  --webhooks-to-private
                    allow webhooks to addresses that are not public, and over http
  --data FOLDER     folder for all data (default ./.millrace)
  -h, --help        show this text
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
      say(ok ? '\nThe demo succeeded.' : `\nThe demo failed. See ${shortPath(join(data, 'server.log'))} for details.`);
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
    throw new SetupError(`--port must be an integer from 0 to 65535, got ${values.port}`);
  }
  const publicUrl = values['public-url'];
  if (publicUrl !== undefined && !/^https?:$/.test(URL.parse(publicUrl)?.protocol ?? '')) {
    throw new SetupError(`--public-url must be a URL such as https://uploads.example.com, got ${publicUrl}`);
  }
  const runningJobsPerTenant = Number(values['running-jobs']);
  if (!Number.isInteger(runningJobsPerTenant) || runningJobsPerTenant < 1) {
    throw new SetupError(`--running-jobs must be an integer of at least 1, got ${values['running-jobs']}`);
  }
  const retryDelaySeconds = Number(values['retry-delay']);
  if (!(retryDelaySeconds >= MIN_RETRY_DELAY_SECONDS && retryDelaySeconds <= MAX_RETRY_DELAY_SECONDS)) {
    const bounds = `from ${MIN_RETRY_DELAY_SECONDS} to ${MAX_RETRY_DELAY_SECONDS}`;
    throw new SetupError(`--retry-delay must be a number of seconds ${bounds}, got ${values['retry-delay']}`);
  }
  const deletedFileDays = Number(values['deleted-file-days']);
  if (!Number.isInteger(deletedFileDays) || deletedFileDays < 0) {
    throw new SetupError(`--deleted-file-days must be an integer of at least 0, got ${values['deleted-file-days']}`);
  }
  if (values.once && values['serve-only']) throw new SetupError('--once and --serve-only cannot be combined');
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
    throw new SetupError(`${(error as Error).message} (run npm start -- --help for usage)`);
  }
}

function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,6})(MB|GB)$/i.exec(text) ?? [];
  const bytes = Number(digits) * (unit.toUpperCase() === 'GB' ? 1e9 : 1e6);
  if (bytes > 0) return bytes;
  throw new SetupError(`--size must be a size such as 64MB or 2GB, got ${text}`);
}

function parseQuotas(text: string): Quotas {
  const quotas = jsonText(Quotas).safeParse(text);
  if (quotas.success) return quotas.data;
  throw new SetupError(`--quotas must be JSON such as {"open_sessions":100}, got ${text}`);
}

function parseMarketplaces(text: string): MarketplaceSettings {
  const marketplaces = jsonText(MarketplaceSettings).safeParse(text);
  if (marketplaces.success) return marketplaces.data;
  throw new SetupError(`--marketplaces must be JSON such as {"ebay_url":"https://api.sandbox.ebay.com"}, got ${text}`);
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
  say(`  Data  ${shortPath(data)} (API key in credentials.json, log in server.log)\n`);
}

function sayHowToGoOn(url: string, data: string): void {
  const found = data === resolve('.millrace');
  say('\nNext, in another terminal in this folder:');
  if (!found) {
    say(`  export MILLRACE_URL=${url}`);
    say(`  export MILLRACE_API_KEY=$(sed 's/.*"api_key":"\\([^"]*\\)".*/\\1/' ${shortPath(data)}/credentials.json)`);
  }
  say('  npx millrace upload FILE        upload a file; after Ctrl-C, repeat the command to resume');
  say('  npx millrace ls                 list files');
  say('  npx millrace jobs               list jobs');
  say('  npx millrace --help             show all commands');
  say('\nThe server is running. Press Ctrl-C to stop it.');
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
