import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSecretName, checkSecretText, type Secrets } from '../ports/secrets.ts';

/**
 * `Secrets` in a folder, a file of mode 0600 each; threads and processes may share it. `deployed`: the texts of secrets that
 * are stored elsewhere and only read, by name.
 */
export class FileSecrets implements Secrets {
  readonly #folder: string;
  readonly #deployed: Readonly<Record<string, string>>;

  constructor({ folder, deployed = {} }: { folder: string; deployed?: Readonly<Record<string, string>> }) {
    this.#folder = folder;
    this.#deployed = deployed;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  async get(name: string): Promise<string | undefined> {
    const deployed = this.#deployed[name];
    if (deployed !== undefined) return deployed;
    return readFile(this.#path(name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async put(name: string, text: string): Promise<void> {
    const path = this.#path(name);
    checkSecretText(text);
    // One that a crash leaves is never read: no name has a dot in it.
    const part = `${path}.${randomBytes(8).toString('hex')}`;
    try {
      const file = await open(part, 'wx', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    await this.#syncFolder();
  }

  async delete(name: string): Promise<void> {
    await rm(this.#path(name), { force: true });
    await this.#syncFolder();
  }

  #path(name: string): string {
    checkSecretName(name);
    if (name in this.#deployed) throw new Error(`the secret ${name} is the deployment's`);
    return join(this.#folder, name.replaceAll('/', '+'));
  }

  /** That a name came or went is on the disk only when its folder is. */
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
