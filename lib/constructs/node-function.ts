import { AssetHashType, DockerImage, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type IRole, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Architecture,
  Code,
  type FunctionProps,
  Function as LambdaFunction,
  Runtime,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { type Bundle, bundle } from '../bundle.ts';
import type { Settings } from '../settings.ts';
import { acknowledgeWildcard } from './acknowledge.ts';

export interface NodeFunctionProps extends Bundle {
  readonly settings: Settings;
  readonly description: string;
  readonly timeoutSeconds: number;
  /** Memory in MiB; 1,769 MiB is one vCPU. */
  readonly memoryMiB: number;
  readonly environment: Readonly<Record<string, string>>;
}

/** A Node.js Lambda with a role that allows its own log, traces, and what is added to it. */
export class NodeFunction extends LambdaFunction {
  declare readonly role: IRole;

  constructor(scope: Construct, id: string, props: NodeFunctionProps) {
    super(scope, id, functionProps(scope, id, props));
    acknowledgeWildcard(this.role, '*', 'X-Ray has no permissions for single resources.');
  }
}

function functionProps(scope: Construct, id: string, props: NodeFunctionProps): FunctionProps {
  const logGroup = new LogGroup(scope, `${id}Log`, {
    retention: props.settings.logRetentionDays,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const role = new Role(scope, `${id}Role`, { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  logGroup.grantWrite(role);
  return {
    description: props.description,
    code: codeOf(props),
    handler: 'index.handler',
    runtime: Runtime.NODEJS_24_X,
    architecture: Architecture.ARM_64,
    memorySize: props.memoryMiB,
    timeout: Duration.seconds(props.timeoutSeconds),
    environment: { ...props.environment },
    role,
    logGroup,
    tracing: Tracing.ACTIVE,
  };
}

/**
 * Bundled in this process: the CDK's NodejsFunction starts esbuild by npx for each function, which takes seconds in all,
 * and needs a shell to copy files.
 */
function codeOf({ entry, alias, assets }: Bundle): Code {
  return Code.fromAsset('lambdas', {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      // Nothing runs it; but the CDK remembers by it what it has bundled already.
      command: [JSON.stringify({ entry, alias, assets })],
      image: DockerImage.fromRegistry('none: bundled locally'),
      local: {
        tryBundle(folder) {
          bundle({ entry, alias, assets }, folder);
          return true;
        },
      },
    },
  });
}
