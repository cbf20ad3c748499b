import { CommanderError } from 'commander';
import { connect } from './connect.ts';
import { describeError, EXIT, errorEvent, exitCodeOf } from './exit.ts';
import { Output } from './output.ts';
import { buildProgram, type GlobalFlags } from './program.ts';

const interrupt = new AbortController();
let flags: GlobalFlags = {};
let output = new Output({ json: false, quiet: false });

// `millrace ls | head` closes the pipe early: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
}

// The first signal lets the command end in order, the second doesn't wait for it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort();
  });
}

const program = buildProgram(
  (given) => {
    flags = given;
    output = new Output({ json: given.json ?? false, quiet: given.quiet ?? false });
    return { output, signal: interrupt.signal, connect: () => connect(given, interrupt.signal) };
  },
  (exit) => {
    process.exitCode = exit;
  },
);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = tell(error);
}

function tell(error: unknown): number {
  // Commander has reported its own errors already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const exit = exitCodeOf(error);
  if (output.json) process.stdout.write(`${JSON.stringify({ ...errorEvent(error), exit_code: exit })}\n`);
  output.error(exit === EXIT.interrupted ? 'interrupted' : describeError(error));
  if (flags.verbose) console.error(error);
  return exit;
}
