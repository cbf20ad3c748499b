import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = createRequire(import.meta.url).resolve('aws-cdk/bin/cdk');

/**
 * Runs the CDK's CLI in the repository, or in `cwd`; the exit code is the answer.
 * `onOutput` gets what it prints, which goes to this process's own output without it.
 */
export async function runCdk(
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>>; onOutput?: (text: string) => void } = {},
): Promise<number> {
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: options.cwd ?? root,
    // The app and the bundler are found by PATH: let it be this Node.js, and the project's own tools.
    env: { ...process.env, PATH: searchPath(), ...options.env },
    stdio: options.onOutput ? ['ignore', 'pipe', 'pipe'] : 'inherit',
  });
  // Not to be left running when this process is told to end.
  const kill = () => child.kill();
  process.once('exit', kill);
  child.once('close', () => process.off('exit', kill));
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => options.onOutput?.(text));
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function searchPath(): string {
  return [dirname(process.execPath), `${root}node_modules/.bin`, process.env.PATH].join(delimiter);
}

const Outputs = z.object({
  ApiId: z.string(),
  ApiUrl: z.string(),
  BucketName: z.string(),
  RootSecretArn: z.string(),
});
export type Outputs = z.output<typeof Outputs>;

/** What the stacks tell of themselves, from the file of `cdk deploy --outputs-file`. */
export async function readOutputs(file: string): Promise<Outputs> {
  const stacks = z.record(z.string(), z.record(z.string(), z.string())).parse(JSON.parse(await readFile(file, 'utf8')));
  return Outputs.parse(Object.assign({}, ...Object.values(stacks)));
}
