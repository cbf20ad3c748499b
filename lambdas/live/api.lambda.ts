import * as z from 'zod/mini';
import { liveRoutes } from '../../contract/routes/live.ts';
import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { readConfig } from '../runtime/config.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { createLiveHandlers } from './handlers.ts';

const log = createLog({ function: 'live-api' });
const config = readConfig({ WEBSOCKET_URL: z.optional(z.string()) });

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: liveRoutes,
    handlers: createLiveHandlers({ websocketUrl: () => config.WEBSOCKET_URL }),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
