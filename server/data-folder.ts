import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import * as z from 'zod/mini';
import { ROOT_SECRET_PREFIX } from '../contract/keys.ts';

/** Of what a data folder holds. `upgradeData` upgrades an older folder; a newer one is left alone. */
export const DATA_VERSION = 2;

/** What a person can mend: told as one sentence, without a stack. */
export class SetupError extends Error {}

/** Kept with mode 0600. */
const Secrets = z.object({ root_secret: z.string(), signing_key: z.string() });
type Secrets = z.infer<typeof Secrets>;

export interface DataFolder {
  readonly path: string;
  readonly database: string;
  readonly logFile: string;
  readonly objects: string;
  readonly secrets: Secrets;
  /** Of the `Secrets` port. */
  readonly secretsFolder: string;
  /** Of the data that it was opened with. */
  readonly version: number;
  /** Lets another process use the folder. */
  close(): void;
}

/** Opens or creates a data folder for this process alone; `SetupError` if it is in use or of a newer version. */
export function openDataFolder(path: string): DataFolder {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new SetupError(
      `cannot create the data folder ${path}: ${(error as Error).message}; choose another with --data`,
    );
  }
  const lock = lockFolder(path);
  try {
    const version = readVersion(path);
    return {
      path,
      database: join(path, 'millrace.db'),
      logFile: join(path, 'server.log'),
      objects: join(path, 'objects'),
      secrets: readSecrets(path),
      secretsFolder: join(path, 'secrets'),
      version,
      close: () => lock.close(),
    };
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** SQLite's file lock goes with the process, however it ends. */
function lockFolder(path: string): DatabaseSync {
  const lock = new DatabaseSync(join(path, 'lock.db'), { timeout: 0 });
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return lock;
  } catch {
    lock.close();
    throw new SetupError(
      `the data folder ${path} is in use by another server: stop that server, or choose another folder with --data`,
    );
  }
}

const versionFile = (path: string) => join(path, 'version.json');

/** To be called when all data is in the present form. A Millrace of data version 1 refuses the folder from then on. */
export function writeVersion(path: string): void {
  writeDurably(versionFile(path), JSON.stringify({ version: DATA_VERSION }));
}

function readVersion(path: string): number {
  const file = versionFile(path);
  if (!existsSync(file)) writeVersion(path);
  const { version } = readJson(file, z.object({ version: z.int() })) ?? fail(file);
  if (version > DATA_VERSION) {
    throw new SetupError(
      `the data folder ${path} has version ${version}, but this server supports versions up to ${DATA_VERSION}: update Millrace, or choose another folder with --data`,
    );
  }
  return version;
}

function readSecrets(path: string): Secrets {
  const file = join(path, 'secrets.json');
  if (!existsSync(file)) {
    const secret = () => randomBytes(32).toString('base64url');
    writeDurably(file, JSON.stringify({ root_secret: `${ROOT_SECRET_PREFIX}${secret()}`, signing_key: secret() }));
  }
  return readJson(file, Secrets) ?? fail(file);
}

/** What the file holds; undefined if that is something else. */
export function readJson<Content>(file: string, schema: z.ZodMiniType<Content>): Content | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function fail(file: string): never {
  throw new SetupError(`${file} is corrupt: restore it from a backup, or choose another data folder with --data`);
}

/** Writes a file that only its owner reads; after a crash it is whole or not there. */
export function writeDurably(file: string, content: string): void {
  const part = `${file}.part`;
  const descriptor = openSync(part, 'w', 0o600);
  writeSync(descriptor, content);
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(part, file);
  const folder = openSync(dirname(file), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

/** From the working folder when it is below it, for people to read. */
export function shortPath(path: string): string {
  const short = relative('', path);
  return short === '' || short.startsWith('..') ? path : short;
}
