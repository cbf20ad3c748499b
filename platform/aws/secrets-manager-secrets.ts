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

interface Names {
  /** Begins the names of the secrets that a function creates. */
  readonly prefix: string;
  /** ARNs of the secrets that the deployment created, by the names under which they are read. */
  readonly deployed?: Readonly<Record<string, string>> | undefined;
}

export function openSecrets(names: Names): SecretsManagerSecrets {
  return new SecretsManagerSecrets({ client: new SecretsManagerClient(), ...names });
}

/** `Secrets` in Secrets Manager: secret s is `<prefix>s`, unless the deployment created it. */
export class SecretsManagerSecrets implements Secrets {
  readonly #client: SecretsManagerClient;
  readonly #prefix: string;
  readonly #deployed: Readonly<Record<string, string>>;

  constructor({ client, prefix, deployed = {} }: Names & { client: SecretsManagerClient }) {
    this.#client = client;
    this.#prefix = prefix;
    this.#deployed = deployed;
  }

  async get(name: string): Promise<string | undefined> {
    return unlessMissing(async () => {
      const { SecretString } = await this.#client.send(
        new GetSecretValueCommand({ SecretId: this.#deployed[name] ?? this.#id(name) }),
      );
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

  /** The id of a secret that may be written. */
  #id(name: string): string {
    checkSecretName(name);
    if (name in this.#deployed) throw new Error(`the secret ${name} is the deployment's`);
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
