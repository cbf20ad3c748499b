import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod/mini';
import { ROOT_SECRET_PREFIX } from '../../contract/keys.ts';
import { identityRoutes } from '../../contract/routes/identity.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { readConfig } from '../runtime/config.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { openAuthenticator, openKeys } from './aws-deps.ts';
import { createIdentityHandlers } from './handlers.ts';

const config = readConfig({ ROOT_SECRET_ARN: z.string(), MILLRACE_VERSION: z.string() });
const log = createLog({ function: 'identity-api' });
const keys = openKeys();
const secrets = new SecretsManagerClient();

/** The stored part is random alone: the prefix tells what it is. */
async function rootSecret(): Promise<string> {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: config.ROOT_SECRET_ARN }));
  return `${ROOT_SECRET_PREFIX}${SecretString}`;
}

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: identityRoutes,
    handlers: createIdentityHandlers({ keys, clock: systemClock, version: config.MILLRACE_VERSION }),
    authenticate: openAuthenticator({ keys, log, rootSecret }),
    log,
  }),
);
