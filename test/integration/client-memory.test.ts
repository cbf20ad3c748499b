import { execFile } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { MIB } from '../../contract/limits.ts';
import { startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const SIZE = 320 * MIB;
const PART = 64 * MIB;

// Its own process: what counts is the client's memory, not the server's.
const PROGRAM = `
import { memoryStateStore, Millrace } from ${JSON.stringify(new URL('../../client/index.ts', import.meta.url).href)};
const [url, apiKey, small, large] = process.argv.slice(1);
const millrace = new Millrace({ url, apiKey, state: memoryStateStore() });
await millrace.uploads.upload(small);
const before = process.resourceUsage().maxRSS;
await millrace.uploads.upload(large, { partSizeBytes: ${PART} });
console.log(JSON.stringify({ grownMiB: (process.resourceUsage().maxRSS - before) / 1024 }));
`;

it('U2 never holds a part in memory: parts of 64 MiB, four at a time, in a fraction of one part', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'client-memory-'));
  const server = await startScriptedServer({ keepBytes: false });
  try {
    const [small, large] = [join(folder, 'small'), join(folder, 'large')];
    await writeFile(small, 'x');
    await writeFile(large, 'x');
    await truncate(large, SIZE);
    const args = ['--input-type=module', '--eval', PROGRAM, server.url, TEST_KEY, small, large];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { grownMiB } = JSON.parse(stdout) as { grownMiB: number };
    expect(server.trace.filter((line) => line.startsWith('put '))).toHaveLength(1 + SIZE / PART);
    // Four chunks, socket buffers and garbage that is not collected yet: one part held would show.
    expect(grownMiB).toBeLessThan(48);
  } finally {
    await server.close();
    await rm(folder, { recursive: true });
  }
});
