type Fields = Readonly<Record<string, unknown>>;

/** Structured log lines: a constant message and fields. Never a credential, a signed URL or a whole event. */
export interface Log {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields & { readonly error?: unknown }): void;
}

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause ? { cause: describeError(error.cause) } : {}),
  };
}

/** One JSON object a line, as CloudWatch Logs Insights reads it. */
export function createLog(
  context: Fields,
  write: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
): Log {
  const emit = (level: string, message: string, fields: Fields = {}) => {
    const rest = 'error' in fields ? { ...fields, error: describeError(fields.error) } : fields;
    write(JSON.stringify({ level, message, time: new Date().toISOString(), ...context, ...rest }));
  };
  return {
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
  };
}
