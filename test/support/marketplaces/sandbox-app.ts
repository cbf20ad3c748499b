import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, CfnOutput, Duration, RemovalPolicy, Stack, Tags } from 'aws-cdk-lib';
import { AttributeType, BillingMode, Table } from 'aws-cdk-lib/aws-dynamodb';
import { Architecture, Code, FunctionUrlAuthType, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { bundle } from '../../../lib/bundle.ts';
import { SANDBOX_ID } from './deploy-sandbox.ts';

// A CDK app of its own: the sandbox of marketplaces, as a Lambda with a URL that is known before.

const app = new App();
const stack = new Stack(app, SANDBOX_ID, { env: { region: 'us-east-1' } });
const table = new Table(stack, 'Table', {
  partitionKey: { name: 'pk', type: AttributeType.STRING },
  sortKey: { name: 'sk', type: AttributeType.STRING },
  billingMode: BillingMode.PAY_PER_REQUEST,
  removalPolicy: RemovalPolicy.DESTROY,
});
const folder = mkdtempSync(join(tmpdir(), 'millrace-sandbox-'));
bundle({ entry: 'test/support/marketplaces/lambda.ts' }, folder);
const sandbox = new LambdaFunction(stack, 'Function', {
  code: Code.fromAsset(folder),
  handler: 'index.handler',
  runtime: Runtime.NODEJS_24_X,
  architecture: process.arch === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
  memorySize: 512,
  timeout: Duration.seconds(20),
  environment: { SANDBOX_TABLE: table.tableName },
});
table.grantReadWriteData(sandbox);
// LocalStack makes it the name in the function's URL.
Tags.of(sandbox).add('_custom_id_', SANDBOX_ID);
const { url } = sandbox.addFunctionUrl({ authType: FunctionUrlAuthType.NONE });
new CfnOutput(stack, 'Url', { value: url });
app.synth();
