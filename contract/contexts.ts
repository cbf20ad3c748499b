// Every context, one a line; read it as a namespace. Lambdas import their own context alone.
export { identity } from './routes/identity.ts';
export { jobs } from './routes/jobs.ts';
export { live } from './routes/live.ts';
export { publishing } from './routes/publishing.ts';
export { uploads } from './routes/uploads.ts';
export { webhooks } from './routes/webhooks.ts';
