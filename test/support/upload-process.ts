import { readFileSync } from 'node:fs';
import { Millrace, memoryStateStore } from '../../client/index.ts';

// Uploads a file in a process of its own and tells what memory that took, in bytes.

const [, , url = '', apiKey = '', path = '', concurrency] = process.argv;

function memory(field: 'VmRSS' | 'VmHWM'): number {
  const [, kib] = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) * 1_024;
}

const millrace = new Millrace({ url, apiKey, state: memoryStateStore() });
const beforeBytes = memory('VmRSS');
const started = performance.now();
const file = await millrace.uploads.upload(path, { concurrency: Number(concurrency) });
const seconds = (performance.now() - started) / 1_000;
process.stdout.write(`${JSON.stringify({ file, beforeBytes, peakBytes: memory('VmHWM'), seconds })}\n`);
