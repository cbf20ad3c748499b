import * as z from 'zod/mini';
import * as contexts from './contexts.ts';
import { ERRORS, type ErrorCode } from './errors.ts';
import { isProgress } from './event.ts';
import { BatchEvent, JobEvent } from './events/jobs.ts';
import { UploadEvent } from './events/uploads.ts';
import { EVENTS } from './events.ts';
import { Artifact, Checkpoint, CreateJob, Job, JobProgress, Task, Workflow } from './jobs.ts';
import { ApiKey, CreatedKey, CreateKey } from './keys.ts';
import {
  BridgeAnswer,
  BridgeCommand,
  CreateMarketplaceAccount,
  CreateProduct,
  MarketplaceAccount,
  Price,
  Product,
} from './publishing.ts';
import type { Routes } from './routes.ts';
import {
  CompleteUpload,
  Download,
  File,
  InitUpload,
  ListedUpload,
  Orphaned,
  PartToSign,
  ReceivedPart,
  SignedPart,
  SignParts,
  Upload,
  UploadProgress,
  UploadWithParts,
  Usage,
} from './uploads.ts';
import { CreatedWebhook, DeliveryAttempt, Webhook, WebhookDelivery, WriteWebhook } from './webhooks.ts';

type Json = Record<string, unknown>;

/** Schemas that get a name in the document; the others stand where they are used. */
const named = {
  ApiKey,
  Artifact,
  BatchEvent,
  BridgeAnswer,
  BridgeCommand,
  Checkpoint,
  CompleteUpload,
  CreateMarketplaceAccount,
  CreateJob,
  CreateKey,
  CreateProduct,
  CreatedKey,
  CreatedWebhook,
  DeliveryAttempt,
  Download,
  File,
  InitUpload,
  Job,
  JobEvent,
  JobProgress,
  ListedUpload,
  MarketplaceAccount,
  Orphaned,
  PartToSign,
  Price,
  Product,
  ReceivedPart,
  SignParts,
  SignedPart,
  Task,
  Upload,
  UploadEvent,
  UploadProgress,
  UploadWithParts,
  Usage,
  Webhook,
  WebhookDelivery,
  Workflow,
  WriteWebhook,
};

const registry = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries(named)) registry.add(schema, { id });

type Route = Routes[keyof Routes];

const DESCRIPTION = `A client opens a session (\`POST /uploads/init\`), sends the parts of the file straight to the object store through presigned
URLs, and completes the session. A job (\`POST /jobs\`) runs a workflow on the file.

**Credentials**: \`Authorization: Bearer <API key or JWT>\`. Each operation names the scope that it needs. Another tenant's
id behaves like an unknown one.

**Errors** have one shape: \`{error, message, details, request_id}\`. \`error\` is a stable code to switch on, \`message\` says
what is wrong and what to do, \`details\` names the field or the parts concerned, and the service's log contains \`request_id\`.

**Repeating** a request is safe for GET, PUT, DELETE and complete, and for creations with an \`Idempotency-Key\`.

**Completing** an upload answers 200 with the file, or 202 if that takes long. The completion then continues without the caller;
\`GET /uploads/{upload_id}\` and the events \`upload.completed\` and \`upload.rejected\` report the outcome.

**Listings** are newest first. Pass \`next_cursor\` as \`cursor\` of the next call, with the same filters. \`created_after\` is
inclusive, \`created_before\` is exclusive.`;

/** The OpenAPI 3.1 document of the API, from the route table. */
export function openApiDocument(version: string): Json {
  const components: Json = {};
  const paths: Record<string, Json> = {};
  for (const { name, routes } of Object.values(contexts)) {
    for (const [operationId, route] of Object.entries<Route>(routes)) {
      paths[route.path] = {
        ...paths[route.path],
        [route.method.toLowerCase()]: { operationId, tags: [name], ...operation(route, components) },
      };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      summary: "Uploads that can't be lost, and the jobs that run on them.",
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This deployment' }],
    security: [{ bearer: [] }],
    tags: Object.values(contexts).map(({ name, description }) => ({ name, description })),
    paths,
    webhooks: webhooks(components),
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key, or a JWT of an issuer that the deployment accepts.',
        },
      },
      schemas: { ...components, Error: errorSchema },
    },
  };
}

/** What webhooks receive: a message for each event but those of progress. */
function webhooks(components: Json): Json {
  return Object.fromEntries(
    EVENTS.flatMap((event) => {
      const [type = ''] = event.shape.type.def.values;
      if (isProgress(type)) return [];
      const post = {
        operationId: operationIdOf(type),
        summary: type,
        description: z.globalRegistry.get(event)?.description,
        tags: ['webhooks'],
        security: [],
        parameters: WEBHOOK_HEADERS,
        requestBody: { required: true, content: jsonContent(toSchema(event, 'output', components)) },
        responses: {
          '2XX': { description: 'The message was taken; its body is not read. Any other answer has it sent again.' },
        },
      };
      return [[type, { post }]];
    }),
  );
}

/** `onJobCompleted` for `job.completed`. */
function operationIdOf(type: string): string {
  return `on.${type}`.replace(/\.(.)/g, (_, letter: string) => letter.toUpperCase());
}

const WEBHOOK_HEADERS = [
  ['webhook-id', 'The id of the event, the same in every attempt.'],
  ['webhook-timestamp', 'When this attempt was made, in seconds since 1970.'],
  ['webhook-signature', 'Signatures by https://www.standardwebhooks.com, separated by spaces.'],
].map(([name, description]) => ({ name, in: 'header', required: true, description, schema: { type: 'string' } }));

const errorSchema = {
  type: 'object',
  properties: {
    error: {
      type: 'string',
      enum: Object.keys(ERRORS),
      description: 'Stable code. Switch on this, never on the message.',
    },
    message: { type: 'string' },
    details: { type: 'object', additionalProperties: true },
    request_id: { type: 'string' },
  },
  required: ['error', 'message', 'details', 'request_id'],
};

function operation(route: Route, components: Json): Json {
  const { auth } = route;
  const scope = auth === 'root' ? 'keys:write' : auth;
  return {
    summary: route.summary,
    ...(auth === 'none'
      ? { security: [] }
      : { description: `Needs the scope \`${scope}\`${auth === 'root' ? ' or the root secret' : ''}.` }),
    parameters: [
      ...parameters('path', route.params, components),
      ...parameters('query', route.query, components),
      ...parameters('header', route.headers, components),
    ],
    ...(route.hasBody
      ? { requestBody: { required: true, content: jsonContent(toSchema(route.body, 'input', components)) } }
      : {}),
    responses: { ...successes(route, components), ...failures(route) },
  };
}

function parameters(place: 'path' | 'query' | 'header', schema: z.ZodMiniObject, components: Json): Json[] {
  const { properties = {}, required = [] } = toSchema(schema, 'input', components) as {
    properties?: Json;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema,
  }));
}

function successes(route: Route, components: Json): Json {
  const answers = Object.entries(route.responses).map(([status, body]) => {
    const headers = status === '307' ? { headers: { location: { schema: { type: 'string' } } } } : {};
    const content = body ? { content: jsonContent(toSchema(body, 'output', components)) } : {};
    return [status, { description: SUCCESS[status], ...headers, ...content }];
  });
  return Object.fromEntries(answers);
}

const SUCCESS: Record<string, string> = {
  200: 'Done',
  201: 'Created',
  202: 'Accepted: processing continues after this answer',
  204: 'Done, no content',
  307: 'Send the same request to `location`, with the bytes',
};

function failures(route: Route): Json {
  const takesInput =
    [route.query, route.headers].some((schema) => Object.keys(schema.shape).length > 0) || route.hasBody;
  const codes = new Set<ErrorCode>([
    ...(takesInput ? (['ValidationError'] as const) : []),
    ...(route.auth === 'none' ? [] : (['UnauthenticatedError', 'ForbiddenError'] as const)),
    ...route.errors,
    ...(route.hasBody ? (['PayloadTooLargeError'] as const) : []),
    'TooManyRequestsError',
    'InternalError',
    'ServiceBusyError',
    'GatewayTimeoutError',
  ]);
  const byStatus = Object.groupBy(codes, (code) => ERRORS[code].status);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, codes = []]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${ERRORS[code].meaning}`).join('\n\n'),
        content: jsonContent({ $ref: '#/components/schemas/Error' }),
      },
    ]),
  );
}

function jsonContent(schema: Json): Json {
  return { 'application/json': { schema } };
}

/** The JSON Schema of `schema`; the named schemas in it go to `components`. */
function toSchema(schema: z.ZodMiniType, io: 'input' | 'output', components: Json): Json {
  const { $schema, $defs, ...json } = z.toJSONSchema(schema, { io, metadata: registry, override: tidy });
  const linked = JSON.parse(JSON.stringify({ json, $defs }).replaceAll('#/$defs/', '#/components/schemas/'));
  Object.assign(components, linked.$defs);
  return linked.json;
}

/** Takes out what says nothing to a reader, and what would keep answers from getting new fields. */
function tidy({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  delete jsonSchema.propertyNames;
}
