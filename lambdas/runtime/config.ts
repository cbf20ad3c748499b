import * as z from 'zod/mini';
import { problemsOf } from './validation.ts';

/**
 * Parses environment variables, once, when a process starts. An empty one counts as missing.
 *
 * @example
 * const config = readConfig({ UPLOADS_TABLE: z.string(), QUOTAS: jsonText(Quotas) });
 */
export function readConfig<Shape extends z.core.$ZodShape>(
  shape: Shape,
  env: Readonly<Record<string, string | undefined>> = process.env,
): z.output<z.ZodMiniObject<Shape>> {
  const given = Object.fromEntries(Object.keys(shape).map((name) => [name, env[name] || undefined]));
  const parsed = z.object(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error, 'environment').map(({ field, problem }) =>
    field in given && given[field] === undefined ? `${field} is missing` : `${field} is not valid: ${problem}`,
  );
  throw new Error(`the environment is not complete: ${problems.join('; ')}`);
}

/** A variable that holds JSON. */
export function jsonText<T extends z.ZodMiniType>(schema: T) {
  const parse = z.transform((text: string, { issues }): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      issues.push({ code: 'custom', message: 'must be JSON', input: text });
      return z.NEVER;
    }
  });
  return z.pipe(z.pipe(z.string(), parse), schema);
}
