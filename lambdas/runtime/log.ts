import type { Log } from '../../platform/ports/log.ts';

export type { Log };

type Fields = Readonly<Record<string, unknown>>;

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
