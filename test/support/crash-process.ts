import fs from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';

// Preloaded into a server and its threads (node --import): ends the process right before or right after its nth write to
// the disk, be it a commit, a new file or a deleted one. Writes count from when the file CRASH_TRACE is there; each is a
// line of that file, which all threads add to.

const { CRASH_TRACE = '', CRASH_AT = '', CRASH_WHEN = 'before' } = process.env;
const LINE_BYTES = 100;
const { openSync, writeSync, fstatSync, renameSync } = fs;
let trace: number | undefined;

/** Undefined until writes count. */
function openTrace(): number | undefined {
  try {
    trace ??= openSync(CRASH_TRACE, fs.constants.O_WRONLY | fs.constants.O_APPEND);
  } catch {
    return undefined;
  }
  return trace;
}

function atWrite<T>(label: string, write: () => T): T {
  const descriptor = openTrace();
  if (descriptor === undefined) return write();
  const line = `${isMainThread ? 'main' : 'task'} ${label.replace(/[^ -~]/g, '?')}`;
  writeSync(descriptor, `${line.slice(0, LINE_BYTES - 1).padEnd(LINE_BYTES - 1)}\n`);
  // Another thread's write may have come in between; the nth of them all is the last in any case.
  const isLast = fstatSync(descriptor).size / LINE_BYTES >= Number(CRASH_AT);
  if (isLast && CRASH_WHEN === 'before') die();
  const result = write();
  if (isLast && result instanceof Promise) result.finally(die);
  else if (isLast) die();
  return result;
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

const databases = new WeakMap<StatementSync, DatabaseSync>();
/** What the transaction of a connection has written first. */
const written = new WeakMap<DatabaseSync, string>();
const { prepare, exec } = DatabaseSync.prototype;

DatabaseSync.prototype.prepare = function (this: DatabaseSync, ...args) {
  const statement = prepare.apply(this, args);
  databases.set(statement, this);
  return statement;
};

DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
  const change = sql === 'COMMIT' ? written.get(this) : undefined;
  if (/^(COMMIT|ROLLBACK)$/.test(sql)) written.delete(this);
  return change === undefined ? exec.call(this, sql) : atWrite(change, () => exec.call(this, sql));
};

for (const name of ['run', 'get', 'all'] as const) {
  const method = StatementSync.prototype[name] as (...args: unknown[]) => unknown;
  const counted = function (this: StatementSync, ...args: unknown[]) {
    const database = databases.get(this);
    const [, change, table] = /^\s*(INSERT|UPDATE|DELETE)(?: OR \w+)?(?: INTO| FROM)? (\w+)/.exec(this.sourceSQL) ?? [];
    if (!database || !change) return method.apply(this, args);
    const label = `${change} ${table} ${args.slice(0, 2).join(' ')}`;
    if (!database.isTransaction) return atWrite(label, () => method.apply(this, args));
    if (!written.has(database)) written.set(database, label);
    return method.apply(this, args);
  };
  Object.assign(StatementSync.prototype, { [name]: counted });
}

const { open, rm } = files;
files.open = (path, flags, mode) => {
  const creates = typeof flags === 'number' && (flags & fs.constants.O_EXCL) > 0;
  return creates ? atWrite(`create ${path}`, () => open(path, flags, mode)) : open(path, flags, mode);
};
files.rm = (path, options) => atWrite(`delete ${path}`, () => rm(path, options));
fs.renameSync = (from, to) => atWrite(`rename ${to}`, () => renameSync(from, to));
syncBuiltinESMExports();
