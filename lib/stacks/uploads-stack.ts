import type { App } from 'aws-cdk-lib';
import { SigningRole } from '../constructs/signing-role.ts';
import { ContextStack, type ContextStackProps } from './context-stack.ts';

/** Upload sessions and files: its functions work on the bucket, its API signs URLs. */
export class UploadsStack extends ContextStack {
  constructor(app: App, id: string, props: ContextStackProps) {
    const { bucket, bucketEnvironment } = props.foundation;
    super(app, id, { ...props, environment: bucketEnvironment });
    const api = this.resources.function('api');
    const signing = new SigningRole(this, 'Signing', {
      signer: api.role,
      bucket,
      keys: 'tenant/*/uploads/*',
      actions: ['Get', 'Put'],
    });
    api.addEnvironment('SIGNING_ROLE_ARN', signing.roleArn);
    for (const { role } of [api, this.resources.function('sweep')]) {
      bucket.allowObjects(role, 'tenant/*/uploads/*', 'Get', 'Put', 'Delete');
      bucket.allowMultipart(role, 'tenant/*/uploads/*');
      bucket.allowList(role);
    }
  }
}
