import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Line, MAX_LINE_BYTES, readLines } from '../../lambdas/workflows/inference/lines.ts';
import { detectFormat, parseRow, type RowFormat } from '../../lambdas/workflows/inference/rows.ts';
import { mergeSummaries, summarizeColumn } from '../../lambdas/workflows/inference/score.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';

/** Only what reading lines needs of an object store: bytes in memory, in chunks of a given size. */
function bytesInChunks(bytes: Uint8Array, chunkBytes: number): ObjectStore {
  const read: ObjectStore['read'] = async (_key, range = { start: 0 }) => {
    const part = bytes.subarray(range.start, range.end);
    let at = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= part.length) return controller.close();
        controller.enqueue(part.subarray(at, at + chunkBytes));
        at += chunkBytes;
      },
    });
  };
  return { read } as ObjectStore;
}

async function linesOfRanges(bytes: Uint8Array, rangeBytes: number, chunkBytes: number): Promise<Line[]> {
  const objects = bytesInChunks(bytes, chunkBytes);
  const lines: Line[] = [];
  for (let start = 0; start < bytes.length; start += rangeBytes) {
    const range = { start, end: Math.min(start + rangeBytes, bytes.length) };
    for await (const batch of readLines(objects, { key: 'k', sizeBytes: bytes.length }, range)) lines.push(...batch);
  }
  return lines;
}

test('ranges that cover a file give each of its lines exactly once, in order', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'é', '🙂', ',', ' ', '\u00a0'), maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { minLength: 1, maxLength: 20 }),
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 17 }),
      async (expected, newline, endsWithNewline, rangeBytes, chunkBytes) => {
        const text = expected.join(newline) + (endsWithNewline ? newline : '');
        const lines = await linesOfRanges(new TextEncoder().encode(text), rangeBytes, chunkBytes);
        const all = text.split('\n').map((one) => one.replace(/\r$/, ''));
        if (all.at(-1) === '') all.pop();
        expect(lines).toEqual(all);
      },
    ),
  );
});

test('a line that is too long is told as one line and not held', async () => {
  const bytes = new TextEncoder().encode(`first\n${'x'.repeat(MAX_LINE_BYTES + 1)}\nlast`);
  expect(await linesOfRanges(bytes, 300_000, 65_536)).toEqual(['first', undefined, 'last']);
});

test('a CSV is told by its delimiter, and columns that only name rows are no features', () => {
  expect(detectFormat('\uFEFFid;a;"b;c"', 'csv')).toMatchObject({ delimiter: ';', columns: ['a', 'b;c'], fields: 3 });
  expect(detectFormat('1.5,2', 'csv')).toEqual({ problem: expect.stringContaining('needs a header line') });
  expect(detectFormat('{"id": 7, "a": 1, "note": "x"}', 'ndjson')).toMatchObject({ columns: ['a'] });
  expect(detectFormat('[1]', 'ndjson')).toEqual({ problem: expect.stringContaining('not a JSON object') });
});

test.each([
  ['1,2', undefined, [1, 2]],
  ['"1","2.5"', undefined, [1, 2.5]],
  ['1', '1 fields instead of 2', undefined],
  ['1,', 'b is not a number: ""', undefined],
  ['1,x', 'b is not a number: "x"', undefined],
  ['1,Infinity', 'b is not a number: "Infinity"', undefined],
  ['1,-1e39', 'b is too large for a float32: "-1e39"', undefined],
  ['1,3.4e38', undefined, [1, Math.fround(3.4e38)]],
])('the CSV line %j gives %j', (line, problem, values) => {
  const format = detectFormat('a,b', 'csv') as RowFormat;
  const features = new Float32Array(2);
  expect(parseRow(line, format, features, 0)).toBe(problem);
  if (values) expect([...features]).toEqual(values);
});

test('an NDJSON line needs a number for every feature', () => {
  const format = detectFormat('{"a": 1, "b": 2}', 'ndjson') as RowFormat;
  const features = new Float32Array(2);
  expect(parseRow('{"b": 4, "a": 3}', format, features, 0)).toBeUndefined();
  expect([...features]).toEqual([3, 4]);
  expect(parseRow('{"a": 3}', format, features, 0)).toBe('b is not a number: null');
  const deep = `{"a": 3, "b": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
  expect(parseRow(deep, format, features, 0)).toBe('b is not a number: something nested');
  expect(parseRow('{"a": 3, "b": 1e39}', format, features, 0)).toBe('b is too large for a float32: 1e+39');
  expect(parseRow('{', format, features, 0)).toBe('not a JSON object');
});

test('summaries add up, whichever of them has no finite value', () => {
  const summarize = (...values: number[]) =>
    summarizeColumn({ name: 'p', kind: 'score', values, stride: 1, offset: 0 }, values.length);
  const all = { kind: 'score', min: 1, max: 2, sum: 3, not_finite: 1 };
  expect(summarize(1, Number.NaN, 2)).toEqual(all);
  expect(mergeSummaries(summarize(Number.NaN), summarize(1, 2))).toEqual(all);
  expect(mergeSummaries(summarize(2, 1), summarize(Number.NEGATIVE_INFINITY))).toEqual(all);
  expect(mergeSummaries(summarize(2), summarize(1, Number.NaN))).toEqual(all);
});
