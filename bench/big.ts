import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../contract/limits.ts';
import { startEmbeddedServer } from '../test/support/e2e-server.ts';
import { mibPerSecond, startSender } from './contender.ts';
import { atMost, type BenchOptions, type Figure, figure } from './figures.ts';
import type { ClientTask } from './senders.ts';

const CONCURRENCY = 4;
/** What the client picks above 1 GiB. */
const PART_BYTES = 64 * MIB;
const MOST_CALLS = 14;
/** A file so much larger may take no more memory than this above the smaller one's: it is flat. */
const FLAT_MIB = 32;

/**
 * Memory and API calls of one upload of 1 and of 10 GiB with every part's checksum signed: each in a new process, to the
 * single machine in another. The files are sparse, what is read and sent of them is not.
 */
export async function benchBig({ quick }: BenchOptions): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const server = await startEmbeddedServer();
  const grownMib: number[] = [];
  try {
    const figures: Figure[] = [];
    for (const gibibytes of quick ? [0.1, 1.1] : [1, 10]) {
      const sizeBytes = Math.floor(gibibytes * 1_024) * MIB;
      const file = join(folder, 'file.bin');
      writeFileSync(file, crypto.getRandomValues(new Uint8Array(4_096)));
      truncateSync(file, sizeBytes);
      const sender = startSender('client');
      const task: ClientTask = { url: server.url, apiKey: server.apiKey, file, concurrency: CONCURRENCY };
      const sent = await sender.send({ ...task, partSizeBytes: PART_BYTES }).finally(() => sender.close());
      grownMib.push(sent.grownBytes / MIB);
      const name = `${gibibytes} GiB to the single machine`;
      figures.push(
        figure(name, mibPerSecond(sizeBytes, sent), 'MiB/s'),
        atMost((CONCURRENCY * PART_BYTES) / MIB + 64, `${name}: memory`, sent.grownBytes / MIB, 'MiB'),
        atMost(MOST_CALLS, `${name}: API calls`, sent.apiCalls ?? Number.NaN, 'calls'),
      );
    }
    const [small = 0, large = 0] = grownMib;
    return [...figures, atMost(FLAT_MIB, 'memory of the larger file, above that of the smaller', large - small, 'MiB')];
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
}
