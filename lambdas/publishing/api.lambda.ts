import { publishingRoutes } from '../../contract/routes/publishing.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { openSecrets, openSignedObjects, openTable, openWorkflows } from '../runtime/aws-composition.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { createLog } from '../runtime/log.ts';
import { findFile } from '../uploads/public.ts';
import { createPublishingHandlers } from './handlers.ts';

const log = createLog({ function: 'publishing-api' });
const uploads = { table: openTable('uploads') };

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: publishingRoutes,
    handlers: createPublishingHandlers({
      table: openTable('publishing'),
      secrets: openSecrets(),
      workflows: openWorkflows(),
      objects: openSignedObjects(),
      clock: systemClock,
      findFile: (tenantId, fileId) => findFile(uploads, tenantId, fileId),
    }),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
