import { basename } from 'node:path';
import cliProgress from 'cli-progress';
import type { MillraceError } from 'millrace';
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
  if (output.quiet) return SILENT;
  if (output.json) return progressEvents(output, 'progress', { name: label });
  if (!process.stderr.isTTY) return progressLines(output, label);
  const bar = new cliProgress.SingleBar(BAR);
  bar.start(100, 0, { label, phase: '', text: '' });
  return { ...progressBar(bar), stop: () => bar.stop() };
}

/** How far several things are: each of them, and the whole. */
export interface ManyProgress {
  of(path: string): Progress;
  readonly total: Progress;
}

/** A bar each and one for the whole on a terminal, lines for the whole elsewhere, or JSON events for all. */
export function showManyProgress(output: Output): ManyProgress {
  if (output.quiet) return { of: () => SILENT, total: SILENT };
  if (output.json) {
    const of = remember((path) => progressEvents(output, 'progress', { name: basename(path), path }));
    return { of, total: progressEvents(output, 'total', {}) };
  }
  if (!process.stderr.isTTY) {
    const of = remember((path) => ({ ...progressLines(output, path), update: () => {} }));
    return { of, total: progressLines(output, 'total') };
  }
  const bars = new cliProgress.MultiBar(BAR);
  const create = (label: string) => bars.create(100, 0, { label, phase: '', text: '' });
  const total = progressBar(create('total'));
  const of = remember((path) => {
    const bar = create(basename(path));
    return { ...progressBar(bar), stop: () => void bars.remove(bar) };
  });
  return { of, total: { ...total, stop: () => bars.stop() } };
}

const SILENT: Progress = { update: () => {}, retrying: () => {}, stop: () => {} };

/** Each path's own, made when it is first asked for and until it stops. */
function remember(make: (path: string) => Progress): (path: string) => Progress {
  const made = new Map<string, Progress>();
  return (path) => {
    const before = made.get(path);
    if (before) return before;
    const progress = make(path);
    const stop = () => {
      made.delete(path);
      progress.stop();
    };
    made.set(path, { ...progress, stop });
    return { ...progress, stop };
  };
}

function progressEvents(output: Output, type: string, subject: Readonly<Record<string, string>>): Progress {
  const write = (step: Step) =>
    output.event({ type, ...subject, phase: step.phase, percent: step.percent, ...step.data });
  return {
    update: atMostEvery(EVENT_EVERY_MS, write),
    retrying: (error) => output.event({ ...errorEvent(error), type: 'retry', ...subject }),
    stop: () => {},
  };
}

function progressLines(output: Output, label: string): Progress {
  const write = (step: Step) => output.note(`${label}: ${step.percent} % ${step.phase}, ${step.text}`);
  return {
    update: atMostEvery(LINE_EVERY_MS, write),
    retrying: (error) => output.note(`${label}: ${error.message}; retrying`),
    stop: () => {},
  };
}

const BAR: cliProgress.Options = {
  format: '{label} {bar} {percentage} % {phase} {text}',
  stream: process.stderr,
  barCompleteChar: '█',
  barIncompleteChar: '░',
  barsize: 24,
  hideCursor: true,
  clearOnComplete: true,
  // Interrupts are the command's own matter.
  gracefulExit: false,
};

function progressBar(bar: cliProgress.SingleBar): Pick<Progress, 'update' | 'retrying'> {
  return {
    update: ({ percent, phase, text }) => bar.update(percent, { phase, text }),
    retrying: (error) => bar.update({ phase: 'retrying', text: error.message }),
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
