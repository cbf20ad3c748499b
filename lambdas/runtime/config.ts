import * as z from 'zod';
import { problemsOf } from './validation.ts';

/**
 * Parses environment variables, once, when a process starts. An empty one counts as missing.
 *
 * @example
 * const config = readConfig({ UPLOADS_TABLE: z.string(), JWT_ISSUERS: jsonText(z.array(JwtIssuer)).default([]) });
 */
export function readConfig<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: Readonly<Record<string, string | undefined>> = process.env,
): z.output<z.ZodObject<Shape>> {
  const given = Object.fromEntries(Object.keys(shape).map((name) => [name, env[name] || undefined]));
  const parsed = z.object(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error, 'environment').map(({ field, problem }) =>
    field in given && given[field] === undefined ? `${field} is missing` : `${field} is not valid: ${problem}`,
  );
  throw new Error(`the environment is not complete: ${problems.join('; ')}`);
}

/** A variable that holds JSON. */
export function jsonText<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue('it is not JSON');
        return z.NEVER;
      }
    })
    .pipe(schema);
}
