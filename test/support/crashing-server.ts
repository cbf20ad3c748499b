import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type EmbeddedServer, type EmbeddedServerOptions, startEmbeddedServer } from './e2e-server.ts';

const HOOK = new URL('./crash-process.ts', import.meta.url).href;

/** The process ends right before or right after its nth write to the disk, from 1. */
export interface Crash {
  readonly at: number;
  readonly when: 'before' | 'after';
}

export interface CrashingServer {
  readonly url: string;
  readonly apiKey: string;
  /** How often it has crashed. */
  readonly crashes: number;
  /** What the first process has written since it listens, a line for each write. */
  writes(): string[];
  /** Ends it in order, now and for good. */
  stop(): Promise<void>;
}

/**
 * A server that crashes as planned and is started again at once, on the same data and port. The first crash counts the
 * writes from when the server listens; each further one those of the next process from its beginning, recovery included.
 */
export async function startCrashingServer(
  options: EmbeddedServerOptions & { data: string },
  crashes: readonly Crash[],
): Promise<CrashingServer> {
  const trace = (process: number) => `${options.data}.writes-${process}`;
  let started = 0;
  let stopping = false;

  async function start(port: number): Promise<EmbeddedServer> {
    const process = started;
    started += 1;
    if (process > 0) writeFileSync(trace(process), '');
    const { at, when } = crashes[process] ?? { at: Number.POSITIVE_INFINITY, when: 'before' };
    const env = { CRASH_TRACE: trace(process), CRASH_AT: String(at), CRASH_WHEN: when };
    try {
      return await startEmbeddedServer({ ...options, port, nodeArgs: ['--import', HOOK], env });
    } catch (error) {
      if (process === 0 || process >= crashes.length) throw error;
      return start(port);
    }
  }

  let server = await start(0);
  const { url, apiKey } = server;
  const port = Number(new URL(url).port);
  writeFileSync(trace(0), '');
  const keepUp = (async () => {
    for (;;) {
      await server.ended;
      if (stopping) return;
      server = await start(port);
      if (stopping) await server.stop();
    }
  })();
  // Told by `stop`.
  keepUp.catch(() => undefined);
  return {
    url,
    apiKey,
    get crashes() {
      return started - 1;
    },
    writes: () => readFileSync(trace(0), 'utf8').split('\n').slice(0, -1),
    async stop() {
      stopping = true;
      await server.stop();
      await keepUp;
      for (let process = 0; process < started; process += 1) rmSync(trace(process), { force: true });
    },
  };
}
