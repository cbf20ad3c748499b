import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { MIB } from '../contract/limits.ts';

/** What one upload took, in the process that sent it. */
export interface Sent {
  readonly seconds: number;
  /** Until the last part had arrived: completing, which is the server's work, comes after it. */
  readonly sendingSeconds: number;
  readonly cpuSeconds: number;
  /** The highest resident memory so far, above that before the first upload. */
  readonly grownBytes: number;
  /** Calls of the API, where there is one. */
  readonly apiCalls?: number;
}

/** A process that uploads, so that its CPU time and memory are its own, and its start counts nowhere. */
export class Contender {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    this.#child = child;
    this.#reader = createInterface({ input: child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async send(task: unknown): Promise<Sent> {
    this.#child.stdin?.write(`${JSON.stringify(task)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`a process of the bench ended: ${this.#child.spawnargs.join(' ')}`);
    return JSON.parse(value) as Sent;
  }

  close(): void {
    this.#reader.close();
    this.#child.kill();
  }
}

/** A process of `senders.ts`. */
export function startSender(name: 'client' | 'lib-storage' | 'bare'): Contender {
  return new Contender(process.execPath, [new URL('senders.ts', import.meta.url).pathname, name]);
}

export function mibPerSecond(sizeBytes: number, { sendingSeconds }: Sent): number {
  return sizeBytes / MIB / sendingSeconds;
}

/**
 * Uploads of all contenders in rounds, so that whatever else the machine does meets all of them; each round begins with
 * another one. The first round warms up and is not counted.
 */
export async function inRounds<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, () => Promise<Sent>>>,
): Promise<Readonly<Record<Name, readonly Sent[]>>> {
  const names = Object.keys(contenders) as Name[];
  const sent = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Sent[]>;
  for (let round = 0; round <= rounds; round += 1) {
    const order = names.map((_, at) => names[(at + round) % names.length] as Name);
    for (const name of order) {
      const result = await contenders[name]();
      if (round > 0) sent[name].push(result);
    }
  }
  return sent;
}
