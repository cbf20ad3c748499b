import { AwsSolutionsChecks } from 'cdk-nag';
import { expect, test } from 'vitest';
import { synthesize } from './synth.ts';

const kmsKeyArn = 'arn:aws:kms:us-east-1:111111111111:key/00000000-0000-0000-0000-000000000000';

test.each([{}, { kmsKeyArn }])('cdk-nag finds nothing that is not acknowledged with a reason, with %o', (context) => {
  const { app } = synthesize({ context });
  const { violations } = new AwsSolutionsChecks(app).validateScope(app);
  const found = violations.map(
    ({ ruleName, severity, violatingResources }) =>
      `${severity} ${ruleName}: ${violatingResources.map(({ constructPath }) => constructPath).join(', ')}`,
  );
  expect(found).toEqual([]);
});
