import { readFile } from 'node:fs/promises';
import { fileStateStore, Millrace, MillraceError } from 'millrace';

/** Written by a server that runs here, with mode 0600. */
const CREDENTIALS_FILE = '.millrace/credentials.json';

export interface ConnectOptions {
  readonly url?: string;
  readonly apiKey?: string;
  readonly stateDir?: string;
}

/** A client for the deployment that flags, environment or `./.millrace/credentials.json` name, in this order. */
export async function connect({ url, apiKey, stateDir }: ConnectOptions, signal: AbortSignal): Promise<Millrace> {
  // An empty variable is one that is not set.
  const given = { url: url || process.env.MILLRACE_URL, apiKey: apiKey || process.env.MILLRACE_API_KEY };
  const file = given.url && given.apiKey ? undefined : await readCredentials();
  const chosen = { url: given.url || file?.url, apiKey: given.apiKey };
  // A key goes only to the server that it was written for.
  if (!chosen.apiKey && file && chosen.url === file.url) chosen.apiKey = file.api_key;
  if (!chosen.url || !chosen.apiKey) {
    const lack = chosen.url ? `an API key for ${chosen.url}` : 'the URL of the server';
    throw new MillraceError(
      'UnauthenticatedError',
      `${lack} is missing: pass --url and --api-key, set MILLRACE_URL and MILLRACE_API_KEY, or run this in the folder that contains ${CREDENTIALS_FILE}`,
    );
  }
  const { url: base, apiKey: key } = chosen;
  return new Millrace({ url: base, apiKey: key, signal, ...(stateDir && { state: fileStateStore(stateDir) }) });
}

async function readCredentials(): Promise<{ url: string; api_key: string } | undefined> {
  const text = await readFile(CREDENTIALS_FILE, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { url, api_key } = JSON.parse(text) as Record<string, unknown>;
    if (typeof url === 'string' && typeof api_key === 'string') return { url, api_key };
  } catch {
    // Reported below, like any other invalid content.
  }
  throw new MillraceError(
    'UnauthenticatedError',
    `${CREDENTIALS_FILE} is not valid: expected JSON with url and api_key`,
  );
}
