import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { jsonText, readConfig } from '../../lambdas/runtime/config.ts';

const shape = {
  UPLOADS_TABLE: z.string(),
  LIMIT: z.coerce.number().check(z.int()),
  ISSUERS: z._default(jsonText(z.array(z.string())), []),
  NAMES: z.optional(jsonText(z.array(z.object({ name: z.string() })))),
};

test('variables are parsed, with defaults; others are left alone', () => {
  const config = readConfig(shape, { UPLOADS_TABLE: 'uploads', LIMIT: '5', HOME: '/root' });
  expect(config).toEqual({ UPLOADS_TABLE: 'uploads', LIMIT: 5, ISSUERS: [] });
  expect(readConfig(shape, { UPLOADS_TABLE: 'u', LIMIT: '5', ISSUERS: '["a"]' }).ISSUERS).toEqual(['a']);
});

test('one error names every variable that is missing or not valid', () => {
  const read = () => readConfig(shape, { UPLOADS_TABLE: '', ISSUERS: '{', LIMIT: 'x', NAMES: '[{}]' });
  expect(read).toThrow(/UPLOADS_TABLE is missing; LIMIT is not valid: .*; ISSUERS is not valid: must be JSON; /);
  expect(read).toThrow(/NAMES\[0\]\.name is not valid: expected string/);
});
