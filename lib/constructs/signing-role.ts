import { Duration } from 'aws-cdk-lib';
import { ArnPrincipal, type IRole, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { DataBucket, KeyPattern } from './data-bucket.ts';

/**
 * The role whose credentials sign a context's object URLs. A URL ends with the credentials that signed it, and those of
 * a Lambda don't tell when that is: assumed ones do.
 */
export class SigningRole extends Role {
  constructor(
    scope: Construct,
    id: string,
    props: { signer: IRole; bucket: DataBucket; keys: KeyPattern; actions: ('Get' | 'Put')[] },
  ) {
    super(scope, id, {
      assumedBy: new ArnPrincipal(props.signer.roleArn),
      maxSessionDuration: Duration.hours(1),
      description: 'Signs URLs of objects',
    });
    props.bucket.allowObjects(this, props.keys, ...props.actions);
    props.signer.addToPrincipalPolicy(new PolicyStatement({ actions: ['sts:AssumeRole'], resources: [this.roleArn] }));
  }
}
