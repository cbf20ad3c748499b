import { getSystemErrorMap } from 'node:util';

/** What the system says of a failed call, such as `no such file or directory`; anything else as text. */
export function systemReason(cause: unknown): string {
  const { errno, code } = cause as Partial<NodeJS.ErrnoException>;
  const [, reason] = (errno !== undefined && getSystemErrorMap().get(errno)) || [];
  return reason ?? code ?? String(cause);
}
