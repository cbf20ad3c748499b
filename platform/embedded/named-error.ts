/** An error that a state machine's Retry and Catch know by its name. */
export function namedError(name: string, message: string, options?: ErrorOptions): Error {
  return Object.assign(new Error(message, options), { name });
}
