/** Figures in a log line that the platform adds up where it can: over all lines, and for each value of the field `by`. */
export interface Metrics {
  readonly values: Readonly<Record<string, number>>;
  readonly by?: string;
}

type Fields = Readonly<Record<string, unknown>> & { readonly metrics?: Metrics | undefined };

/** Structured log lines: a constant message and fields. Never a credential, a signed URL or a whole event. */
export interface Log {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields & { readonly error?: unknown }): void;
}
