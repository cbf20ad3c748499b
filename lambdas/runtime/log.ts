import type { Log, Metrics } from '../../platform/ports/log.ts';

export type { Log };

type Fields = Readonly<Record<string, unknown>> & { readonly metrics?: Metrics | undefined };

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause ? { cause: describeError(error.cause) } : {}),
  };
}

/**
 * One JSON object a line, as CloudWatch Logs Insights reads it. With a namespace CloudWatch makes metrics of a line's
 * `metrics`; without one they are a field like others.
 */
export function createLog(
  context: Fields,
  write: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
  metricsNamespace?: string,
): Log {
  const emit = (level: string, message: string, fields: Fields = {}) => {
    const time = new Date();
    const rest = {
      ...fields,
      ...('error' in fields ? { error: describeError(fields.error) } : {}),
      ...(fields.metrics && metricsNamespace ? embeddedMetrics(metricsNamespace, fields.metrics, time) : {}),
    };
    write(JSON.stringify({ level, message, time: time.toISOString(), ...context, ...rest }));
  };
  return {
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
  };
}

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html */
function embeddedMetrics(namespace: string, { values, by }: Metrics, time: Date) {
  const Dimensions = by === undefined ? [[]] : [[], [by]];
  const directive = { Namespace: namespace, Dimensions, Metrics: Object.keys(values).map((Name) => ({ Name })) };
  return { ...values, metrics: undefined, _aws: { Timestamp: time.getTime(), CloudWatchMetrics: [directive] } };
}
