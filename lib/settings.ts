import { type App, RemovalPolicy } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { en } from 'zod/locales';
import * as z from 'zod/mini';
import { type ContextSpec, settingVariable } from '../contract/context.ts';
import { DEFAULT_RETRY_DELAY_SECONDS, DEFAULT_RUNNING_JOBS_PER_TENANT, DELETED_FILE_DAYS } from '../contract/limits.ts';
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
  /** Begins the names of stacks and state machines: two deployments in one account differ in it. */
  prefix: z._default(z.string().check(z.regex(/^[a-z][a-z0-9-]{0,23}$/)), 'millrace'),
  /** False makes a trial: no deletion protection, and tables go with their stacks. */
  keepData: z._default(json(z.boolean()), true),
  /** OpenID Connect issuers whose JWTs are accepted beside API keys; their fields are those of lambdas/identity/jwt.ts. */
  issuers: z._default(
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
  ),
  /** Jobs of one tenant that run at the same time. */
  runningJobsPerTenant: z._default(
    json(z.int().check(z.minimum(1), z.maximum(1_000))),
    DEFAULT_RUNNING_JOBS_PER_TENANT,
  ),
  /** The longest pause before a job's first automatic retry, in seconds; it doubles with each further one, up to an hour. */
  retryDelaySeconds: z._default(json(z.number().check(z.minimum(0.05), z.maximum(3_600))), DEFAULT_RETRY_DELAY_SECONDS),
  /** Of every tenant that has none of its own (docs/uploads.md), such as `{"stored_bytes": 500000000000}`. */
  quotas: z.prefault(json(Quotas), {}),
  /** For how long deleted files can be restored; 0: their bytes are deleted at once. */
  deletedFileDays: z._default(json(z.int().check(z.minimum(0), z.maximum(3_650))), DELETED_FILE_DAYS),
  /** Where the marketplaces are, if not at their own addresses, such as their sandboxes. */
  marketplaces: z.prefault(json(MarketplaceSettings), {}),
  logRetentionDays: z._default(json(z.enum(RetentionDays)), RetentionDays.ONE_MONTH),
  /** An SNS topic that is told when an alarm goes off, and when it ends; docs/runbook.md says what to do. */
  alarmTopicArn: z.optional(z.string().check(z.startsWith('arn:'))),
  /** A key of the account for bucket and tables, instead of the keys that AWS manages. */
  kmsKeyArn: z.optional(z.string().check(z.startsWith('arn:'))),
  /** Lets webhooks lead to addresses that are not public, and by http: for tests. */
  webhooksToPrivate: z._default(json(z.boolean()), false),
  /** False where there are no WebSocket APIs: watchers poll there. */
  webSocket: z._default(json(z.boolean()), true),
  /** Where WebSocket APIs are in place of AWS's own, such as `http://localhost:4566/_aws/execute-api`, for other engines. */
  executeApiBase: z.optional(z.url({ protocol: /^https?$/ })),
  /** Origin in presigned URLs in place of S3's own, for engines whose S3 has another address outside than inside. */
  publicS3Endpoint: z.optional(z.url()),
});
export type Settings = z.output<typeof Settings>;

/** Reads the settings from the CDK context (`-c name=value` or cdk.json); a misspelt one is an error. */
export function readSettings(app: App): Settings {
  const context: Record<string, unknown> = app.node.getAllContext();
  // The CDK's own keys and those of cached look-ups have a colon in them, settings have none.
  const own = Object.fromEntries(Object.entries(context).filter(([name]) => !name.includes(':')));
  const parsed = Settings.safeParse(own);
  if (!parsed.success) throw new Error(`the CDK context is wrong:\n${z.prettifyError(parsed.error)}`);
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
