import { jobsRoutes } from '../../contract/routes/jobs.ts';
import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { openLog, openSignedObjects } from '../runtime/aws-composition.ts';
import { createHttpApi } from '../runtime/http.ts';
import { lambdaHttpHandler } from '../runtime/lambda-http.ts';
import { openJobs } from './aws-deps.ts';
import { createJobsHandlers } from './handlers.ts';

const log = openLog('jobs-api');

export const handler = lambdaHttpHandler(
  createHttpApi({
    routes: jobsRoutes,
    handlers: createJobsHandlers(openJobs({ objects: openSignedObjects(), log })),
    authenticate: openAuthenticator({ keys: openKeys(), log }),
    log,
  }),
);
