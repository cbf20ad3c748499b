import type { S3Client } from '@aws-sdk/client-s3';
import { AssumeRoleCommand, type STSClient } from '@aws-sdk/client-sts';
import { S3RequestPresigner } from '@aws-sdk/s3-request-presigner';
import { DomainError } from '../../contract/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { percentEncode } from '../ports/content-disposition.ts';
import { isConnectionFailure } from './outage.ts';

interface SigningCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** A URL ends with the credentials that signed it. */
  readonly expiration?: Date;
}

export type CredentialsProvider = () => Promise<SigningCredentials>;

/** A request that a URL stands for. All of it is signed, the headers included: they must be sent as they are. */
interface RequestToSign {
  readonly method: 'GET' | 'PUT';
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Signs URLs of one bucket. `publicEndpoint`: where clients reach S3 when that is not where AWS has it, such as
 * LocalStack's address as seen from outside; the signature covers the host, so it cannot be changed afterwards.
 */
export class S3Presigner {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #credentials: CredentialsProvider;
  readonly #clock: Clock;
  readonly #publicEndpoint: string | undefined;

  constructor(options: {
    client: S3Client;
    bucket: string;
    credentials: CredentialsProvider;
    clock: Clock;
    publicEndpoint?: string;
  }) {
    this.#client = options.client;
    this.#bucket = options.bucket;
    this.#credentials = options.credentials;
    this.#clock = options.clock;
    this.#publicEndpoint = options.publicEndpoint;
  }

  async sign(
    requests: readonly RequestToSign[],
    expiresInSeconds: number,
  ): Promise<{ urls: readonly string[]; expiresAt: Date }> {
    const [credentials, region] = [await this.#credentials(), await this.#client.config.region()];
    const signer = new S3RequestPresigner({ credentials, region, sha256: this.#client.config.sha256 });
    const endpoint = this.#endpoint(region);
    // A signature's date has whole seconds, and the expiry is counted from there.
    const signingDate = new Date(Math.floor(this.#clock.now().getTime() / 1_000) * 1_000);
    const lifetime = credentials.expiration ? secondsBetween(signingDate, credentials.expiration) : expiresInSeconds;
    const expiresIn = Math.min(expiresInSeconds, lifetime);
    const sign = async ({ method, key, query, headers }: RequestToSign) => {
      const signed = await signer.presign(
        {
          method,
          protocol: endpoint.protocol,
          hostname: endpoint.hostname,
          ...(endpoint.port ? { port: Number(endpoint.port) } : {}),
          path: `${endpoint.pathname.replace(/\/$/, '')}/${key.split('/').map(percentEncode).join('/')}`,
          query: { ...query },
          headers: { ...headers, host: endpoint.host },
        },
        // S3 looks at a checksum only in a header; the presigner would move it to the query.
        { expiresIn, signingDate, unhoistableHeaders: new Set(Object.keys(headers)) },
      );
      return `${endpoint.origin}${signed.path}?${toQueryString(signed.query ?? {})}`;
    };
    const urls = await Promise.all(requests.map(sign));
    return { urls, expiresAt: new Date(signingDate.getTime() + expiresIn * 1_000) };
  }

  /** Of the bucket: with its name in the host, or in the path where the client is told so (`forcePathStyle`). */
  #endpoint(region: string): URL {
    return this.#client.config.endpointProvider({
      Bucket: this.#bucket,
      Region: region,
      ForcePathStyle: this.#client.config.forcePathStyle === true,
      ...(this.#publicEndpoint ? { Endpoint: this.#publicEndpoint } : {}),
    }).url;
  }
}

/**
 * Credentials of a role, assumed anew when half of their time has passed, so that every URL has at least that long.
 * Needed in a Lambda, as its own credentials don't tell when they end.
 */
export function assumedRoleCredentials(options: {
  stsClient: STSClient;
  roleArn: string;
  clock: Clock;
  /** 900–3,600: a role assumed by a role has at most an hour. */
  durationSeconds?: number;
}): CredentialsProvider {
  const { stsClient, roleArn, clock, durationSeconds = 3_600 } = options;
  let current: { credentials: SigningCredentials & { expiration: Date }; renewAt: Date } | undefined;
  let renewal: Promise<SigningCredentials> | undefined;

  const renew = async (): Promise<SigningCredentials> => {
    const command = new AssumeRoleCommand({
      RoleArn: roleArn,
      RoleSessionName: 'sign-urls',
      DurationSeconds: durationSeconds,
    });
    const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } =
      (await stsClient.send(command).catch(asBusy)).Credentials ?? {};
    if (!AccessKeyId || !SecretAccessKey || !SessionToken || !Expiration)
      throw new Error('AssumeRole answered without credentials');
    const credentials = {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      expiration: Expiration,
    };
    const now = clock.now().getTime();
    current = { credentials, renewAt: new Date(now + (Expiration.getTime() - now) / 2) };
    return credentials;
  };

  return async () => {
    const now = clock.now();
    if (current && now < current.renewAt) return current.credentials;
    renewal ??= renew().finally(() => {
      renewal = undefined;
    });
    try {
      return await renewal;
    } catch (error) {
      // Better a shorter life than no URL.
      if (current && secondsBetween(now, current.credentials.expiration) > 60) return current.credentials;
      throw error;
    }
  };
}

function asBusy(error: unknown): never {
  if (!isConnectionFailure(error)) throw error;
  throw new DomainError('ServiceBusyError', 'there is nothing to sign URLs with at present', {}, { cause: error });
}

function secondsBetween(from: Date, to: Date): number {
  return Math.floor((to.getTime() - from.getTime()) / 1_000);
}

function toQueryString(query: Readonly<Record<string, string | string[] | null>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(String(value ?? ''))}`)
    .join('&');
}
