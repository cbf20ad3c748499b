import type { Millrace } from 'millrace';
import type { Output } from './output.ts';

/** What every command gets. */
export interface Session {
  readonly output: Output;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  connect(): Promise<Millrace>;
}
