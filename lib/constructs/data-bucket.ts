import { Duration } from 'aws-cdk-lib';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { BlockPublicAccess, Bucket, BucketEncryption, HttpMethods, ObjectOwnership } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { UPLOAD_LIFETIME_SECONDS } from '../../contract/limits.ts';
import { removalPolicyOf, type Settings } from '../settings.ts';
import { acknowledge, acknowledgeWildcard } from './acknowledge.ts';
import { allowKey, dataKeyOf } from './data-key.ts';

/** Keys of uploaded files, and of what jobs write. */
export type KeyPattern = 'tenant/*' | 'tenant/*/uploads/*' | 'tenant/*/jobs/*' | 'tenant/*/batches/*';

/** The bucket of all tenants' files and artifacts, told apart by their keys. */
export class DataBucket extends Bucket {
  constructor(scope: Construct, id: string, settings: Settings) {
    const encryptionKey = dataKeyOf(scope, `${id}Key`, settings);
    super(scope, id, {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      ...(encryptionKey
        ? { encryption: BucketEncryption.KMS, encryptionKey, bucketKeyEnabled: true }
        : { encryption: BucketEncryption.S3_MANAGED }),
      cors: [
        {
          // A presigned URL is the credential; which site's page sends the bytes makes no difference.
          allowedOrigins: ['*'],
          allowedMethods: [HttpMethods.PUT, HttpMethods.GET, HttpMethods.HEAD],
          allowedHeaders: ['*'],
          exposedHeaders: ['ETag', 'x-amz-checksum-crc64nvme', 'x-amz-request-id'],
          maxAge: 3_600,
        },
      ],
      lifecycleRules: [
        {
          id: 'abort-forgotten-uploads',
          // A day after a session's end: the sweep aborts them first, this is the second net.
          abortIncompleteMultipartUploadAfter: Duration.days(UPLOAD_LIFETIME_SECONDS / 86_400 + 1),
        },
      ],
      removalPolicy: removalPolicyOf(settings),
    });
    acknowledge(
      this,
      'AwsSolutions-S1',
      'Objects are reached only through roles and URLs of the API, which logs every request; CloudTrail data events add the rest.',
    );
  }

  /** Allows actions on objects whose keys match. */
  allowObjects(role: IRole, pattern: KeyPattern, ...actions: ('Get' | 'Put' | 'Delete')[]): void {
    const resources = [this.arnForObjects(pattern)];
    role.addToPrincipalPolicy(new PolicyStatement({ actions: actions.map((name) => `s3:${name}Object`), resources }));
    allowKey(role, this.encryptionKey);
    this.#acknowledgeKeys(role, pattern);
  }

  /** Allows to make, list and abort multipart uploads whose keys match; their parts are put by `Put`. */
  allowMultipart(role: IRole, pattern: KeyPattern): void {
    role.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['s3:ListMultipartUploadParts', 's3:AbortMultipartUpload'],
        resources: [this.arnForObjects(pattern)],
      }),
    );
    role.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucketMultipartUploads'], resources: [this.bucketArn] }),
    );
    this.#acknowledgeKeys(role, pattern);
  }

  /** Allows to list keys, which also makes S3 answer 404 instead of 403 where there is no object. */
  allowList(role: IRole): void {
    role.addToPrincipalPolicy(new PolicyStatement({ actions: ['s3:ListBucket'], resources: [this.bucketArn] }));
  }

  #acknowledgeKeys(role: IRole, pattern: KeyPattern): void {
    // Roles are in other stacks, where the ARN is an import.
    const bucketArn = this.stack.exportValue(this.bucketArn);
    acknowledgeWildcard(role, `${bucketArn}/${pattern}`, 'Tenants are told apart by the API, which makes the keys.');
  }
}
