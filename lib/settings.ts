import { type App, RemovalPolicy } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { en } from 'zod/locales';
import * as z from 'zod/mini';
import { type ContextSpec, settingVariable } from '../contract/context.ts';
import {
  DEFAULT_RETRY_DELAY_SECONDS,
  DEFAULT_RUNNING_JOBS_PER_TENANT,
  DELETED_FILE_DAYS,
  MAX_RETRY_DELAY_SECONDS,
  MIN_RETRY_DELAY_SECONDS,
} from '../contract/limits.ts';
import { MarketplaceSettings } from '../contract/publishing.ts';
import { Quotas } from '../contract/uploads.ts';

z.config(en());

/** Context given on the command line is text, in cdk.json it is JSON: both are taken. */
const json = <T extends z.ZodMiniType>(schema: T) => z.pipe(z.transform(fromJson), schema);

function fromJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

const Settings = z.strictObject({
  prefix: z
    ._default(z.string().check(z.regex(/^[a-z][a-z0-9-]{0,23}$/)), 'millrace')
    .check(
      z.describe('prefix of the names of stacks and state machines; must differ between deployments in one account'),
    ),
  keepData: z
    ._default(json(z.boolean()), true)
    .check(
      z.describe('false for a trial: no deletion protection, and tables and bucket are deleted with their stacks'),
    ),
  issuers: z
    ._default(
      json(
        z.array(
          z.strictObject({
            issuer: z.url({ protocol: /^https$/ }),
            audience: z.union([
              z.string().check(z.minLength(1)),
              z.array(z.string().check(z.minLength(1))).check(z.minLength(1)),
            ]),
            jwks_uri: z.optional(z.url({ protocol: /^https$/ })),
            tenant_claim: z.optional(z.string()),
            role_claim: z.optional(z.string()),
          }),
        ),
      ),
      [],
    )
    .check(
      z.describe(
        'OpenID Connect issuers whose JWTs are accepted beside API keys, each {issuer, audience, jwks_uri?, tenant_claim?, role_claim?}',
      ),
    ),
  runningJobsPerTenant: z
    ._default(json(z.int().check(z.minimum(1), z.maximum(1_000))), DEFAULT_RUNNING_JOBS_PER_TENANT)
    .check(z.describe('jobs that one tenant may run at the same time')),
  retryDelaySeconds: z
    ._default(
      json(z.number().check(z.minimum(MIN_RETRY_DELAY_SECONDS), z.maximum(MAX_RETRY_DELAY_SECONDS))),
      DEFAULT_RETRY_DELAY_SECONDS,
    )
    .check(z.describe("longest delay of a job's first automatic retry; doubles with each further one, up to an hour")),
  quotas: z
    .prefault(json(Quotas), {})
    .check(z.describe('quotas of every tenant that has none of its own, see docs/uploads.md')),
  deletedFileDays: z
    ._default(json(z.int().check(z.minimum(0), z.maximum(3_650))), DELETED_FILE_DAYS)
    .check(z.describe('days for which deleted files can be restored; 0 deletes at once')),
  marketplaces: z
    .prefault(json(MarketplaceSettings), {})
    .check(z.describe('addresses of marketplaces, for example of their sandboxes')),
  logRetentionDays: z
    ._default(json(z.enum(RetentionDays)), RetentionDays.ONE_MONTH)
    .check(z.describe('days for which logs are kept; one of the periods that CloudWatch knows')),
  alarmTopicArn: z
    .optional(z.string().check(z.startsWith('arn:')))
    .check(z.describe('SNS topic that alarms are sent to, see docs/runbook.md')),
  kmsKeyArn: z
    .optional(z.string().check(z.startsWith('arn:')))
    .check(z.describe("KMS key that encrypts bucket and tables, in place of AWS's own keys")),
  webhooksToPrivate: z
    ._default(json(z.boolean()), false)
    .check(z.describe('allow webhooks to addresses that are not public, and over http; for tests')),
  webSocket: z
    ._default(json(z.boolean()), true)
    .check(z.describe('false where there are no WebSocket APIs: watchers poll')),
  executeApiBase: z
    .optional(z.url({ protocol: /^https?$/ }))
    .check(z.describe('base URL of WebSocket APIs on other engines, such as http://localhost:4566/_aws/execute-api')),
  publicS3Endpoint: z
    .optional(z.url())
    .check(z.describe('origin of presigned URLs, for engines whose S3 has another address outside than inside')),
});
export type Settings = z.output<typeof Settings>;

/** Lists every setting with its meaning and default, for `npm run deploy -- --help`. */
export function settingsHelp(): string {
  return Object.entries(Settings.shape)
    .map(([name, schema]) => {
      const unset = schema.safeParse(undefined);
      const value = unset.success && unset.data !== undefined ? JSON.stringify(unset.data) : 'none';
      return `  ${name} (default: ${value})\n      ${z.globalRegistry.get(schema)?.description}\n`;
    })
    .join('');
}

/** Reads the settings from the CDK context (`-c name=value` or cdk.json); a misspelt one is an error. */
export function readSettings(app: App): Settings {
  const context: Record<string, unknown> = app.node.getAllContext();
  // The CDK's own keys and those of cached look-ups have a colon in them, settings have none.
  const own = Object.fromEntries(Object.entries(context).filter(([name]) => !name.includes(':')));
  const parsed = Settings.safeParse(own);
  if (!parsed.success) throw new Error(`the CDK context is not valid:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

export function removalPolicyOf(settings: Settings): RemovalPolicy {
  return settings.keepData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
}

/** The environment variables of a context's settings, each as JSON. */
export function settingsEnvironment({ name, settings: names = [] }: ContextSpec, settings: Settings) {
  const values: Readonly<Record<string, unknown>> = settings;
  return Object.fromEntries(
    names.map((setting) => {
      if (values[setting] === undefined) throw new Error(`context ${name}: there is no setting ${setting}`);
      return [settingVariable(setting), JSON.stringify(values[setting])];
    }),
  );
}

/** State machines are named so; the jobs context finds them by it. */
export function stateMachineName(settings: Settings, workflow: string): string {
  return `${settings.prefix}-${workflow}`;
}
