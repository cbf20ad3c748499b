import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteQueue } from '../../platform/embedded/sqlite-queue.ts';
import { silentLog } from './workflow-world.ts';

// Sends a message for each text that its parent thread posts.
const database = openDatabase(workerData.databaseFile);
const queue = new SqliteQueue({ database, name: 'test', log: silentLog });
parentPort?.on('message', (id: string) => void queue.send([{ id }]));
parentPort?.postMessage('ready');
