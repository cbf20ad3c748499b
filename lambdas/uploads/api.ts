import { systemClock } from '../../platform/system-clock.ts';
import { openAuthenticator, openKeys, openSignedObjects, openTable } from '../runtime/aws-composition.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { createUploadsHandlers } from './handlers.ts';

const log = createLog({ function: 'uploads-api' });

export const handler = lambdaHttpHandler(
  createHttpApi({
    handlers: createUploadsHandlers({
      table: openTable('UPLOADS_TABLE'),
      objects: openSignedObjects(),
      clock: systemClock,
      log,
    }),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
