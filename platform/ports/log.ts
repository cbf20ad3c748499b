type Fields = Readonly<Record<string, unknown>>;

/** Structured log lines: a constant message and fields. Never a credential, a signed URL or a whole event. */
export interface Log {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields & { readonly error?: unknown }): void;
}
