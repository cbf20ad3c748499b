import * as z from 'zod/mini';
import { uploadsRoutes } from '../../contract/routes/uploads.ts';
import { Quotas } from '../../contract/uploads.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { openSignedObjects, openTable } from '../runtime/aws-composition.ts';
import { jsonText, readConfig } from '../runtime/config.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { createUploadsHandlers } from './handlers.ts';

const log = createLog({ function: 'uploads-api' });
const config = readConfig({ QUOTAS: jsonText(Quotas), DELETED_FILE_DAYS: z.coerce.number().check(z.int()) });

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: uploadsRoutes,
    handlers: createUploadsHandlers({
      table: openTable('uploads'),
      objects: openSignedObjects(),
      clock: systemClock,
      log,
      quotas: config.QUOTAS,
      deletedFileDays: config.DELETED_FILE_DAYS,
    }),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
