import { STSClient } from '@aws-sdk/client-sts';
import type { Clock } from '../ports/clock.ts';
import { createS3Client, S3ObjectStore } from './s3-object-store.ts';
import { assumedRoleCredentials, S3Presigner } from './s3-presign.ts';

/** Objects whose URLs are signed by the credentials of a role. `publicEndpoint`: where clients reach S3 if that is not AWS's. */
export function openSignedS3Objects({
  bucket,
  publicEndpoint,
  signingRoleArn: roleArn,
  clock,
}: {
  bucket: string;
  publicEndpoint: string | undefined;
  signingRoleArn: string;
  clock: Clock;
}): S3ObjectStore {
  const client = createS3Client({ forcePathStyle: publicEndpoint !== undefined });
  const credentials = assumedRoleCredentials({ stsClient: new STSClient(), roleArn, clock });
  const signed = { client, bucket, credentials, clock, ...(publicEndpoint ? { publicEndpoint } : {}) };
  return new S3ObjectStore({ client, bucket, presigner: new S3Presigner(signed) });
}
