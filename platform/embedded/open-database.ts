import { DatabaseSync } from 'node:sqlite';
import { DomainError } from '../../contract/errors.ts';

/** How long a connection waits for another one's transaction; ours take milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;
/** https://www.sqlite.org/rescode.html#busy; the higher bits tell the kind. */
const SQLITE_BUSY = 5;

/** Opens a database file that threads and processes share, or one in memory. A commit is on disk when it returns. */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  return database;
}

/** Runs SQL in one transaction that no other connection's write can get between; a throw rolls it back. */
export function inTransaction<T>(database: DatabaseSync, run: () => T): T {
  return orBusy(() => {
    database.exec('BEGIN IMMEDIATE');
    try {
      const result = run();
      database.exec('COMMIT');
      return result;
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  });
}

/** One that a power failure may undo, with all before it kept: it doesn't wait for the disk. */
export function inLazyTransaction<T>(database: DatabaseSync, run: () => T): T {
  database.exec('PRAGMA synchronous = NORMAL');
  try {
    return inTransaction(database, run);
  } finally {
    database.exec('PRAGMA synchronous = FULL');
  }
}

/** Throws `ServiceBusyError` when other connections kept the database locked for too long. */
export function orBusy<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY)
      throw new DomainError('ServiceBusyError', 'the database is busy', {}, { cause: error });
    throw error;
  }
}
