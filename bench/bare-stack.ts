import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { DefinitionBody, StateMachine } from 'aws-cdk-lib/aws-stepfunctions';

// The machine of `ten` with a Lambda that keeps no ledger: a CDK app of its own.

const HANDLER = `
exports.handler = ({ job }) => new Promise((resolve) => setTimeout(() => resolve({}), job.work_ms));
`;

const stack = new Stack(new App(), 'MillraceBenchBare');
const work = new LambdaFunction(stack, 'Work', {
  code: Code.fromInline(HANDLER),
  handler: 'index.handler',
  runtime: Runtime.NODEJS_24_X,
  architecture: Architecture.ARM_64,
  memorySize: 1_024,
});
const machine = new StateMachine(stack, 'Ten', {
  definitionBody: DefinitionBody.fromFile(new URL('../test/fixtures/ten/ten.asl.json', import.meta.url).pathname),
  definitionSubstitutions: { WorkFunctionArn: work.functionArn },
});
work.grantInvoke(machine);
new CfnOutput(stack, 'StateMachineArn', { value: machine.stateMachineArn });
