import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import { type CrowdOrder, workInCrowd } from './table-crowd.ts';

const { databaseFile, order } = workerData as { databaseFile: string; order: CrowdOrder };
const database = openDatabase(databaseFile);
const table = new SqliteTable({ database, name: 'test', changes: true });
const won = await workInCrowd(table, order);
database.close();
parentPort?.postMessage(won);
