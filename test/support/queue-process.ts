import { setTimeout as pause } from 'node:timers/promises';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteQueue } from '../../platform/embedded/sqlite-queue.ts';
import { silentLog } from './workflow-world.ts';

// Sends messages and consumes them in a process of its own, to be killed: names on a line each message that is sent, and
// each that its consumer has taken to the end. After so many it says that it holds some, and takes no more of them.
const [file = '', prefix = '', heldAfter = ''] = process.argv.slice(2);
let left = Number(heldAfter);
const queue = new SqliteQueue({ database: openDatabase(file), name: 'test', visibilityMs: 500, log: silentLog });
// A line that the kernel has outlives this process.
const say = (line: object) =>
  new Promise<void>((resolve) => void process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()));
queue.start(async (messages) => {
  await pause(5);
  left -= messages.length;
  if (left < 0) {
    await say({ held: messages.length });
    await new Promise(() => {});
  }
  for (const { id } of messages) await say({ taken: id });
  return undefined;
});
for (let n = 0; ; n += 1) {
  await queue.send([{ id: `${prefix}${n}` }]);
  await say({ sent: `${prefix}${n}` });
  if (n % 5 === 0) await pause(1);
}
