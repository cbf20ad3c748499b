import { name, openApi } from '#context';
import { openAuthenticator } from '../identity/public.ts';
import { openAwsPlatform } from './aws-platform.ts';
import { createHttpApi } from './http.ts';
import { lambdaHttpHandler } from './lambda-http.ts';

const platform = openAwsPlatform(`${name}-api`);
const [api, authenticate] = await Promise.all([openApi(platform), openAuthenticator(platform)]);

export const handler = lambdaHttpHandler(createHttpApi({ ...api, authenticate, log: platform.log }));
