import { en } from 'zod/locales';
import * as z from 'zod/mini';
import { DomainError } from '../../contract/errors.ts';

// Without a language, every message is "Invalid input".
z.config(en());

/** One field of a request, such as `parts[2].part_number`, and what is wrong with it. */
export interface Problem {
  readonly field: string;
  readonly problem: string;
}

/** `ValidationError` of at least one problem; its message names the first. */
export function validationError(problems: readonly Problem[]): DomainError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new DomainError('ValidationError', `${first?.field} is not valid: ${first?.problem}${more}`, { problems });
}

/** Enough to mend a request by; a body of 4 MiB can hold millions. */
const MAX_PROBLEMS = 100;

/** The first issues of a failed parse; `whole` names the value itself. */
export function problemsOf(error: z.core.$ZodError, whole: string): readonly Problem[] {
  return error.issues.slice(0, MAX_PROBLEMS).map((issue) => ({
    field: fieldOf(issue.path) || whole,
    problem: issue.message.replace(/^Invalid (input|option|string): /, ''),
  }));
}

function fieldOf(path: readonly PropertyKey[]): string {
  return path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at > 0 ? '.' : ''}${String(step)}`))
    .join('');
}
