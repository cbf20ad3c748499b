import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PUBLISHED_TYPES } from '../../contract/events.ts';
import { eventsPage } from '../../contract/events-page.ts';
import { openApiDocument } from '../../contract/openapi.ts';
import { routes } from '../../contract/routes.ts';

const root = join(import.meta.dirname, '../..');
const table = Object.values(routes);

test('docs/openapi.json is what the route table makes: npm run openapi', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const written = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8'));
  expect(written).toEqual(openApiDocument(version));
});

test('docs/events.md is what the catalogue of events makes: npm run openapi', () => {
  expect(readFileSync(join(root, 'docs/events.md'), 'utf8')).toBe(eventsPage());
});

test('the document has a webhook for every event but those of progress', () => {
  const types = Object.keys(openApiDocument('1.0.0').webhooks as object);
  expect(types).toEqual(PUBLISHED_TYPES);
  expect(types).toContain('batch.completed');
  expect(types.filter((type) => type.endsWith('progress'))).toEqual([]);
});

test('every reference in the document leads somewhere', () => {
  const document = JSON.stringify(openApiDocument('1.0.0'));
  const { schemas } = JSON.parse(document).components;
  const references = [...document.matchAll(/"\$ref":"([^"]*)"/g)].map(([, target]) => target);
  const targets = Object.keys(schemas).map((name) => `#/components/schemas/${name}`);
  expect(references.length).toBeGreaterThan(table.length);
  expect(targets).toEqual(expect.arrayContaining(references));
  expect(document).not.toContain('$defs');
});

test('no two routes collide', () => {
  const shapes = table.map(({ method, path }) => `${method} ${path.replace(/\{\w+\}/g, '{}')}`);
  expect(new Set(shapes).size).toBe(shapes.length);
});

test('a place in a path has one parameter name, as API Gateway demands', () => {
  const names = new Map<string, string>();
  for (const { path } of table) {
    for (const { 0: name, index } of path.matchAll(/\{\w+\}/g)) {
      const before = path.slice(0, index);
      expect(names.get(before) ?? name).toBe(name);
      names.set(before, name);
    }
  }
});

test('the parameters of a path are those of its schema, and a malformed one has an answer', () => {
  for (const { path, params, errors } of table) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(Object.keys(params.shape).sort()).toEqual(inPath.sort());
    if (inPath.length > 0) expect(errors).toContainEqual(expect.stringMatching(/NotFoundError$/));
  }
});

test('only POST and PUT take a body', () => {
  for (const { method, hasBody } of table) if (hasBody) expect(['POST', 'PUT']).toContain(method);
});
