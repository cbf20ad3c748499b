import { setTimeout as pause } from 'node:timers/promises';
import { ChangeFeed } from '../../platform/embedded/change-feed.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import { silentLog } from './workflow-world.ts';

// Writes items and consumes their changes in a process of its own, to be killed: names on a line each item that is
// written, and each change that its consumer has begun to take.
const database = openDatabase(process.argv[2] as string);
const table = new SqliteTable({ database, name: 'test', changes: true });
// A line that the kernel has outlives this process; one that waits in it, for a busy reader, does not.
const say = (line: object) =>
  new Promise<void>((resolve) => void process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()));
const consumer = async (changes: readonly { key: { sk: string } }[]) => {
  for (const { key } of changes) await say({ taken: Number(key.sk) });
  await pause(5);
  return undefined;
};
new ChangeFeed({ database, table: 'test', consumers: { test: consumer }, log: silentLog }).start();

for (let n = 0; ; n += 1) {
  await table.write({ op: 'put', item: { pk: 'p', sk: String(n).padStart(8, '0') } });
  await say({ written: n });
  if (n % 10 === 0) await pause(1);
}
