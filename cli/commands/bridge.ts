import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  type BridgeAnswer,
  type BridgeCommand,
  MAX_BRIDGE_MESSAGE_LENGTH,
  MAX_EVENT_WAIT_SECONDS,
  type Millrace,
  MillraceError,
} from 'millrace';
import { EXIT, type ExitCode } from '../exit.ts';
import type { Session } from '../session.ts';

/** A command that the server hears nothing of for 20 s may be another bridge's. */
const HEARTBEAT_MS = 5_000;
/** sysexits.h: a program that ends so may succeed later. */
const EX_TEMPFAIL = 75;

export interface BridgeFlags {
  readonly account?: string;
  readonly journal?: string;
}

/** Has a program do the commands, one after the other, until Ctrl-C. */
export async function runBridge(
  { output, signal, connect }: Session,
  program: readonly string[],
  { account, journal = join(homedir(), '.local/state/millrace/bridge') }: BridgeFlags,
): Promise<ExitCode> {
  const millrace = await connect();
  await mkdir(journal, { recursive: true, mode: 0o700 });
  output.note('Waiting for commands. Press Ctrl-C to stop.');
  let after: string | undefined;
  while (!signal.aborted) {
    const { items, next_cursor } = await millrace.bridge.receive({
      wait_seconds: MAX_EVENT_WAIT_SECONDS,
      limit: 1,
      ...(after && { after }),
      ...(account && { account_id: account }),
    });
    after = next_cursor ?? after;
    for (const command of items) {
      const note = join(journal, `${command.id}.json`);
      const answer = await answerTo(millrace, command, { program, note, signal });
      if (!answer) continue;
      const sent = await sendAnswer(millrace, command.id, answer, note);
      if (sent !== answer) output.error(`${command.id}: ${sent.error?.message}; the result is in ${note}.refused`);
      output.result(
        { type: 'command', command_id: command.id, ...sent },
        `${command.id} ${sent.error?.message ?? 'done'}`,
      );
    }
  }
  return EXIT.ok;
}

interface Doing {
  readonly program: readonly string[];
  /** Where the command's result is noted. */
  readonly note: string;
  readonly signal: AbortSignal;
}

/** Of a command that was done before: what it gave then. Undefined when nobody wants it any more. */
async function answerTo(millrace: Millrace, command: BridgeCommand, doing: Doing): Promise<BridgeAnswer | undefined> {
  const done = await readFile(doing.note, 'utf8').catch(() => undefined);
  if (done !== undefined) return { result: JSON.parse(done) as Record<string, unknown> };
  const answer = await runProgram(millrace, command, doing);
  if (answer?.result) await writeWhole(doing.note, JSON.stringify(answer.result));
  return answer;
}

/** The answer as the server took it: instead of a result that it refuses, an error that says why. */
async function sendAnswer(
  millrace: Millrace,
  commandId: string,
  answer: BridgeAnswer,
  note: string,
): Promise<BridgeAnswer> {
  try {
    await millrace.bridge.answer(commandId, answer);
    return answer;
  } catch (error) {
    const refused = error instanceof MillraceError && (error.status === 400 || error.status === 413);
    if (answer.error || !refused) throw error;
    // With the result set aside, a retry of the job runs the program again, which may be fixed by then.
    await rename(note, `${note}.refused`);
    const instead = failure(`the server rejected the program’s result: ${error.message}`);
    await millrace.bridge.answer(commandId, instead);
    return instead;
  }
}

/** The program gets the command on its standard input and prints the result; both are JSON. */
async function runProgram(
  millrace: Millrace,
  command: BridgeCommand,
  { program: [file = '', ...args], signal }: Doing,
): Promise<BridgeAnswer | undefined> {
  const unwanted = new AbortController();
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, unwanted.signal]),
  });
  const failed = once(child, 'error').then(([error]) => error as Error);
  const ended = once(child, 'close').then(([code]) => code as number | null);
  // One that doesn't read it may end before it is written.
  child.stdin.on('error', () => undefined).end(JSON.stringify(command));
  const beat = async () => {
    // What is wrong with the connection shows when the answer is sent.
    if (!(await millrace.bridge.heartbeat(command.id, command.claim).catch(() => true))) unwanted.abort();
  };
  const heart = setInterval(() => void beat(), HEARTBEAT_MS);
  try {
    const [stdout, stderr, end] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      Promise.race([ended, failed]),
    ]);
    signal.throwIfAborted();
    if (unwanted.signal.aborted) return undefined;
    if (end === 0) return parseResult(stdout);
    const message = end instanceof Error ? end.message : stderr.trim() || `the program exited with code ${end}`;
    return failure(message, end === EX_TEMPFAIL);
  } finally {
    clearInterval(heart);
  }
}

function parseResult(stdout: string): BridgeAnswer {
  try {
    const result: unknown = JSON.parse(stdout);
    if (typeof result === 'object' && result !== null && !Array.isArray(result)) {
      return { result: result as Record<string, unknown> };
    }
  } catch {
    // Reported below.
  }
  return failure('the program did not print a JSON object');
}

/** Cut to what the server takes, also where that halves a character. */
function failure(message: string, retryable = false): BridgeAnswer {
  return { error: { message: message.slice(0, MAX_BRIDGE_MESSAGE_LENGTH).toWellFormed(), retryable } };
}

/** After a crash, it is whole or not there. */
async function writeWhole(path: string, content: string): Promise<void> {
  const file = await open(`${path}.part`, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.part`, path);
}
