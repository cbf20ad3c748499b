import { webhooksRoutes } from '../../contract/routes/webhooks.ts';
import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { openWebhooks } from './aws-deps.ts';
import { createWebhooksHandlers } from './handlers.ts';

const log = createLog({ function: 'webhooks-api' });

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: webhooksRoutes,
    handlers: createWebhooksHandlers(openWebhooks(log)),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
