import { expect, test } from 'vitest';
import { createLog } from '../../lambdas/runtime/log.ts';

function lineOf(fields: Parameters<ReturnType<typeof createLog>['info']>[1], namespace?: string) {
  const lines: string[] = [];
  createLog({ function: 'f' }, (line) => lines.push(line), namespace).info('happened', fields);
  return JSON.parse(lines[0] ?? '');
}

const metrics = { values: { JobsFailed: 1 }, by: 'workflow' };

test('a line with metrics is in the embedded metric format where there is a namespace', () => {
  const line = lineOf({ workflow: 'tiny', metrics }, 'millrace');
  expect(line).toEqual({
    level: 'info',
    message: 'happened',
    time: expect.any(String),
    function: 'f',
    workflow: 'tiny',
    JobsFailed: 1,
    _aws: {
      Timestamp: Date.parse(line.time),
      CloudWatchMetrics: [{ Namespace: 'millrace', Dimensions: [[], ['workflow']], Metrics: [{ Name: 'JobsFailed' }] }],
    },
  });
  const { _aws } = lineOf({ metrics: { values: { Seconds: 7 } } }, 'millrace');
  expect(_aws.CloudWatchMetrics[0].Dimensions).toEqual([[]]);
});

test('without a namespace, metrics are a field like others', () => {
  expect(lineOf({ metrics })).toMatchObject({ metrics });
  expect(lineOf({ metrics })).not.toHaveProperty('_aws');
  expect(lineOf({ rows: 3 }, 'millrace')).not.toHaveProperty('_aws');
});
