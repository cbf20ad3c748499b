interface Metric {
  readonly value: number;
  readonly unit: 'Count' | 'Bytes' | 'None';
}

/**
 * Fields that make CloudWatch take metrics from a log line:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export function metricFields(
  namespace: string,
  metrics: Readonly<Record<string, Metric>>,
  now: Date,
): Readonly<Record<string, unknown>> {
  const values = Object.entries(metrics).map(([name, { value }]) => [name, value]);
  return {
    ...Object.fromEntries(values),
    _aws: {
      Timestamp: now.getTime(),
      CloudWatchMetrics: [
        {
          Namespace: namespace,
          Dimensions: [[]],
          Metrics: Object.entries(metrics).map(([name, { unit }]) => ({ Name: name, Unit: unit })),
        },
      ],
    },
  };
}
