import {
  CreateSecretCommand,
  DeleteSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceExistsException,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { checkSecretName, checkSecretText, type Secrets } from '../ports/secrets.ts';

/** A context's secrets: their names begin with a prefix of its own. */
export function openSecrets(prefix: string): SecretsManagerSecrets {
  return new SecretsManagerSecrets({ client: new SecretsManagerClient(), prefix });
}

/** Reads a secret that the deployment made. */
export async function readSecret(arn: string): Promise<string> {
  const { SecretString } = await new SecretsManagerClient().send(new GetSecretValueCommand({ SecretId: arn }));
  if (SecretString === undefined) throw new Error(`the secret ${arn} has no text`);
  return SecretString;
}

/** `Secrets` in Secrets Manager: secret s is `<prefix>s`. */
export class SecretsManagerSecrets implements Secrets {
  readonly #client: SecretsManagerClient;
  readonly #prefix: string;

  constructor(options: { client: SecretsManagerClient; prefix: string }) {
    this.#client = options.client;
    this.#prefix = options.prefix;
  }

  async get(name: string): Promise<string | undefined> {
    return unlessMissing(async () => {
      const { SecretString } = await this.#client.send(new GetSecretValueCommand({ SecretId: this.#id(name) }));
      return SecretString;
    });
  }

  async put(name: string, text: string): Promise<void> {
    const id = this.#id(name);
    checkSecretText(text);
    const replace = () => this.#client.send(new PutSecretValueCommand({ SecretId: id, SecretString: text }));
    if (await unlessMissing(replace)) return;
    try {
      await this.#client.send(new CreateSecretCommand({ Name: id, SecretString: text }));
    } catch (error) {
      // Another writer has created it since.
      if (!(error instanceof ResourceExistsException)) throw error;
      await replace();
    }
  }

  async delete(name: string): Promise<void> {
    const id = this.#id(name);
    await unlessMissing(() =>
      this.#client.send(new DeleteSecretCommand({ SecretId: id, ForceDeleteWithoutRecovery: true })),
    );
  }

  #id(name: string): string {
    checkSecretName(name);
    return this.#prefix + name;
  }
}

async function unlessMissing<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined;
    throw error;
  }
}
