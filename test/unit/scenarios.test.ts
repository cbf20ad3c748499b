import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REQUESTED_NAMES, SCENARIOS } from '../support/scenarios.ts';

const root = join(import.meta.dirname, '../..');

test('every scenario that a test is named after is explained, and every one that is explained has a test', () => {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const texts = files
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(join(root, 'test', file), 'utf8'));
  const named = texts.join('\n').matchAll(/['"`](?:[UTMPO]\d+ )+/g);
  const ids = new Set([...named].flatMap(([begin]) => begin.slice(1).trim().split(' ')));
  expect(Object.keys(SCENARIOS).sort()).toEqual([...ids].sort());
});

test('every name that is given for a requested one is in the API', () => {
  const api = readFileSync(join(root, 'docs/openapi.json'), 'utf8');
  const names = REQUESTED_NAMES.map(([, ours]) => ours.replaceAll('`', ''));
  expect(names.filter((name) => !api.includes(`"${name}"`))).toEqual([]);
});
