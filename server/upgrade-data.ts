import type { DatabaseSync } from 'node:sqlite';
import { upgradeRow as upgradeJobs } from '../lambdas/jobs/upgrade-row.ts';
import { upgradeRow as upgradePublishing } from '../lambdas/publishing/upgrade-row.ts';
import { upgradeRow as upgradeUploads } from '../lambdas/uploads/upgrade-row.ts';
import { upgradeRow as upgradeWebhooks } from '../lambdas/webhooks/upgrade-row.ts';
import { upgradeRows } from '../platform/embedded/upgrade-rows.ts';
import type { Log } from '../platform/ports/log.ts';
import type { Item } from '../platform/ports/table.ts';
import { DATA_VERSION, type DataFolder, SetupError, writeVersion } from './data-folder.ts';

/**
 * The rows of each table that version 2 stores in another form than version 1. Readers take both forms: on AWS, where no
 * start brings all rows up to date, old ones stay until they are written again.
 */
const ROWS: Readonly<Record<string, (item: Item) => Item>> = {
  uploads: upgradeUploads,
  jobs: upgradeJobs,
  publishing: upgradePublishing,
  // The table of webhooks, by the name that it has had from the beginning.
  live: upgradeWebhooks,
};

/**
 * Brings the data of an older version into the present form. To be called before anything else reads the folder. It may be
 * killed at any write and is repeated then; the version is written last. Throws `SetupError` when the disk does not take it.
 */
export async function upgradeData(
  { path, version }: Pick<DataFolder, 'path' | 'version'>,
  { database, log }: { readonly database: DatabaseSync; readonly log: Log },
): Promise<void> {
  if (version === DATA_VERSION) return;
  log.info('the data folder is upgraded', { from: version, to: DATA_VERSION });
  try {
    for (const [table, upgrade] of Object.entries(ROWS)) {
      const rows = await upgradeRows(database, { table, upgrade });
      log.info('a table is upgraded', { table, rows });
    }
    writeVersion(path);
  } catch (error) {
    if (!(error instanceof Error) || !isOfDisk(error)) throw error;
    throw new SetupError(
      `cannot upgrade the data folder ${path} from version ${version} to ${DATA_VERSION}: ${error.message}; nothing is lost: make sure that its disk has room and can be written to, then start again, and the upgrade resumes`,
    );
  }
  log.info('the data folder is of the present version', { version: DATA_VERSION });
}

/** What SQLite (`errcode`) and the file system (`syscall`) report. */
function isOfDisk(error: Error): boolean {
  return 'errcode' in error || 'syscall' in error;
}
