import cliProgress from 'cli-progress';
import type { MillraceError } from '../client/index.ts';
import { errorEvent } from './exit.ts';
import type { Output } from './output.ts';

const LINE_EVERY_MS = 5_000;
const EVENT_EVERY_MS = 500;

export interface Step {
  readonly percent: number;
  /** What is going on; a change of it is always told. */
  readonly phase: string;
  /** Figures for people. */
  readonly text: string;
  /** Figures for programs. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Shows how far something is: a bar on a terminal, a line every few seconds elsewhere, or JSON events. */
export interface Progress {
  update(step: Step): void;
  /** Tells of a failure that is tried again. */
  retrying: (error: MillraceError) => void;
  /** Takes the bar away, so that other output begins on a line of its own. */
  stop(): void;
}

export function showProgress(output: Output, label: string): Progress {
  if (output.quiet) return { update: () => {}, retrying: () => {}, stop: () => {} };
  if (output.json) {
    const write = (step: Step) =>
      output.event({ type: 'progress', name: label, phase: step.phase, percent: step.percent, ...step.data });
    return {
      update: atMostEvery(EVENT_EVERY_MS, write),
      retrying: (error) => output.event({ ...errorEvent(error), type: 'retry', name: label }),
      stop: () => {},
    };
  }
  if (!process.stderr.isTTY) {
    const write = (step: Step) => output.note(`${label}: ${step.percent} % ${step.phase}, ${step.text}`);
    return {
      update: atMostEvery(LINE_EVERY_MS, write),
      retrying: (error) => output.note(`${label}: ${error.message}; trying again`),
      stop: () => {},
    };
  }
  return progressBar(label);
}

function progressBar(label: string): Progress {
  const bar = new cliProgress.SingleBar({
    format: '{label} {bar} {percentage} % {phase} {text}',
    stream: process.stderr,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    // Interrupts are the command's own matter.
    gracefulExit: false,
  });
  bar.start(100, 0, { label, phase: '', text: '' });
  return {
    update: ({ percent, phase, text }) => bar.update(percent, { phase, text }),
    retrying: (error) => bar.update({ phase: 'trying again', text: error.message }),
    stop: () => bar.stop(),
  };
}

function atMostEvery(intervalMs: number, write: (step: Step) => void): (step: Step) => void {
  let writtenMs = Number.NEGATIVE_INFINITY;
  let phase = '';
  return (step) => {
    const now = performance.now();
    if (step.phase === phase && now - writtenMs < intervalMs) return;
    writtenMs = now;
    phase = step.phase;
    write(step);
  };
}
