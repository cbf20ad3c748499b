import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type IKey, Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { Settings } from '../settings.ts';

/** The account's own key for data, if the settings name one. */
export function dataKeyOf(scope: Construct, id: string, { kmsKeyArn }: Settings): IKey | undefined {
  return kmsKeyArn ? Key.fromKeyArn(scope, id, kmsKeyArn) : undefined;
}

/** What S3 and DynamoDB do with a key in the name of who reads and writes. */
export function allowKey(role: IRole, key: IKey | undefined): void {
  if (!key) return;
  const actions = ['Encrypt', 'Decrypt', 'ReEncryptFrom', 'ReEncryptTo', 'GenerateDataKey', 'DescribeKey'];
  role.addToPrincipalPolicy(
    new PolicyStatement({ actions: actions.map((name) => `kms:${name}`), resources: [key.keyArn] }),
  );
}
