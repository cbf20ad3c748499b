import { Stack, Validations } from 'aws-cdk-lib';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import type { IConstruct } from 'constructs';

/** Records why a finding of cdk-nag is right as it is. */
export function acknowledge(construct: IConstruct, id: string, reason: string): void {
  Validations.of(construct).acknowledge({ id, reason });
}

/** Records why a role may use a resource whose ARN has a `*` in it. */
export function acknowledgeWildcard(role: IRole, resource: string, reason: string): void {
  acknowledge(role, `AwsSolutions-IAM5[Resource::${flatten(Stack.of(role).resolve(resource))}]`, reason);
}

/** The text that cdk-nag makes of an ARN. */
function flatten(value: unknown): string {
  if (typeof value === 'string') return value;
  const [[name, argument] = []] = Object.entries(value as Record<string, unknown>);
  if (name === 'Ref') return `<${argument}>`;
  if (name === 'Fn::ImportValue') return flatten(argument);
  if (name === 'Fn::GetAtt') return `<${(argument as string[]).join('.')}>`;
  if (name === 'Fn::Join') return (argument as [string, unknown[]])[1].map(flatten).join('');
  throw new Error(`no known part of an ARN: ${JSON.stringify(value)}`);
}
