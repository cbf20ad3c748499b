/** A secret: 1–65,536 bytes of UTF-8 (Secrets Manager). */
const MAX_SECRET_BYTES = 65_536;

/**
 * Texts that are kept apart from all other data, readable by nobody but the service. A secret is durable when the promise
 * of its write resolves, and replaced as a whole: a reader gets the one before or the one after.
 * `name`: 1–200 of `A-Z a-z 0-9 _ - /`. Names and texts that break these bounds throw a plain Error: a defect. So does a
 * write to a secret that the deployment created.
 */
export interface Secrets {
  /** Undefined if there is none. Once a write has ended, every reader gets what it wrote. */
  get(name: string): Promise<string | undefined>;
  /** Creates or replaces it. */
  put(name: string, text: string): Promise<void>;
  /** At once and for good; fine if there is none. The name is not to be used again: AWS frees it some time later. */
  delete(name: string): Promise<void>;
}

/** The name of the root secret, which the deployment creates and functions only read. */
export const ROOT_SECRET = 'root';

/** Throws unless it is a name that every platform takes. */
export function checkSecretName(name: string): void {
  if (!/^[A-Za-z0-9_/-]{1,200}$/.test(name)) throw new Error('not a name of a secret');
}

/** Throws unless it is a text that every platform takes; the error doesn't tell it. */
export function checkSecretText(text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > MAX_SECRET_BYTES || !text.isWellFormed())
    throw new Error(`a secret has 1–${MAX_SECRET_BYTES} bytes of well-formed text, not ${bytes}`);
}
