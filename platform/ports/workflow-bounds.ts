import type { Value } from './table.ts';

/** Of a state's input or result, and so of an execution's: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
export const MAX_STATE_BYTES = 256 * 1_024;

/** Throws when a start breaks the port's bounds. */
export function checkStart({ name, input }: { name: string; input: Value }): void {
  if (!/^[A-Za-z0-9_-]{1,80}$/.test(name)) throw new Error(`not a name of an execution: ${name}`);
  const bytes = Buffer.byteLength(JSON.stringify(input));
  if (bytes > MAX_STATE_BYTES) throw new Error(`the input of ${name} has ${bytes} bytes, more than ${MAX_STATE_BYTES}`);
}

export function otherInputError(workflow: string, name: string): Error {
  return new Error(`there is an execution ${name} of ${workflow} with another input`);
}
