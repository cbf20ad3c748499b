import { expect, test } from 'vitest';
import { createLog } from '../../lambdas/runtime/log.ts';
import { metricFields } from '../../lambdas/runtime/metrics.ts';

test('a log line with metrics is one of the embedded metric format', () => {
  const lines: string[] = [];
  const now = new Date('2026-01-01T00:00:00.000Z');
  const fields = metricFields('millrace', { OrphanedBytes: { value: 12, unit: 'Bytes' } }, now);
  createLog({ function: 'test' }, (line) => lines.push(line)).info('orphaned', fields);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      message: 'orphaned',
      OrphanedBytes: 12,
      _aws: {
        Timestamp: now.getTime(),
        CloudWatchMetrics: [
          { Namespace: 'millrace', Dimensions: [[]], Metrics: [{ Name: 'OrphanedBytes', Unit: 'Bytes' }] },
        ],
      },
    },
  ]);
});
