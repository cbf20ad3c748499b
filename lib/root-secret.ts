import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ROOT_SECRET_PREFIX } from '../contract/keys.ts';

/** Reads the root secret as callers send it: the stored part is random alone, the prefix tells what it is. */
export async function readRootSecret(client: SecretsManagerClient, arn: string): Promise<string> {
  const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: arn }));
  if (!SecretString) throw new Error(`the secret ${arn} holds no text`);
  return `${ROOT_SECRET_PREFIX}${SecretString}`;
}
