import Papa from 'papaparse';
import * as z from 'zod/mini';
import type { Line } from './lines.ts';
import { MAX_LINE_BYTES } from './lines.ts';

/** How the rows of a file are written; found once, by the split task. */
export const RowFormat = z.object({
  format: z.enum(['csv', 'ndjson']),
  delimiter: z.string(),
  /** Features in the model's order: column names of the CSV, or keys of the NDJSON records. */
  columns: z.array(z.string()),
  /** Where each feature stands in a CSV line; empty for NDJSON. */
  positions: z.array(z.int()),
  /** Fields of a CSV line; a line with another number of them is bad. */
  fields: z.int(),
});
export type RowFormat = z.infer<typeof RowFormat>;

/** Columns that name a row rather than describe it: never features. */
const ID_COLUMNS = /^(id|row|row_id|index)$/i;
const DELIMITERS = [',', ';', '\t', '|'];

/** Tells the format from a file's first line. An error message is for the file's owner. */
export function detectFormat(firstLine: string, format: 'csv' | 'ndjson'): RowFormat | { problem: string } {
  const line = firstLine.replace(/^\uFEFF/, '');
  if (format === 'ndjson') {
    const record = parseRecord(line);
    if (!record) return { problem: 'the first line is not a JSON object' };
    const columns = Object.keys(record).filter((name) => !ID_COLUMNS.test(name) && typeof record[name] !== 'string');
    return columns.length > 0
      ? { format, delimiter: '', columns, positions: [], fields: 0 }
      : { problem: 'the first record contains no numbers' };
  }
  const count = (delimiter: string) => line.split(delimiter).length;
  const delimiter = DELIMITERS.reduce((best, next) => (count(next) > count(best) ? next : best));
  const header = splitFields(line, delimiter).map((name) => name.trim());
  if (header.every((name) => name !== '' && Number.isFinite(Number(name)))) {
    return { problem: 'the first line contains numbers; a CSV file needs a header line with column names' };
  }
  const positions = [...header.keys()].filter((at) => !ID_COLUMNS.test(header[at] ?? ''));
  return { format, delimiter, columns: positions.map((at) => header[at] ?? ''), positions, fields: header.length };
}

/** Writes a row's features to `into` at `offset`; answers with what is wrong with it, if anything is. */
export function parseRow(line: Line, rows: RowFormat, into: Float32Array, offset: number): string | undefined {
  if (line === undefined) return `longer than ${MAX_LINE_BYTES} bytes`;
  return rows.format === 'csv' ? parseCsv(line, rows, into, offset) : parseNdjson(line, rows, into, offset);
}

function parseCsv(line: string, rows: RowFormat, into: Float32Array, offset: number): string | undefined {
  const fields = splitFields(line, rows.delimiter);
  if (fields.length !== rows.fields) return `${fields.length} fields instead of ${rows.fields}`;
  for (const [feature, position] of rows.positions.entries()) {
    const text = fields[position] ?? '';
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!Number.isFinite(Math.fround(value))) return problemOf(rows.columns[feature], value, text.slice(0, 40));
    into[offset + feature] = value;
  }
  return undefined;
}

function parseNdjson(line: string, rows: RowFormat, into: Float32Array, offset: number): string | undefined {
  const record = parseRecord(line);
  if (!record) return 'not a JSON object';
  for (const [feature, name] of rows.columns.entries()) {
    const value = record[name];
    if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) return problemOf(name, value, value);
    into[offset + feature] = value;
  }
  return undefined;
}

/** What the model gets is a float32, which 1e39 is too large for. */
function problemOf(column: string | undefined, value: unknown, found: unknown): string {
  const problem = Number.isFinite(value) ? 'is too large for a float32' : 'is not a number';
  // What is nested may be so deep that it can't be told.
  const told = typeof found === 'object' && found !== null ? 'something nested' : JSON.stringify(found ?? null);
  return `${column} ${problem}: ${told.slice(0, 42).toWellFormed()}`;
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return typeof record === 'object' && record !== null && !Array.isArray(record)
      ? (record as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function splitFields(line: string, delimiter: string): string[] {
  if (!line.includes('"')) return line.split(delimiter);
  return Papa.parse<string[]>(line, { delimiter, header: false }).data[0] ?? [];
}
