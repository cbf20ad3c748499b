import { type App, CfnOutput, Stack } from 'aws-cdk-lib';
import type { ContextResources } from '../constructs/context-resources.ts';
import { ContractApi } from '../constructs/contract-api.ts';
import type { Settings } from '../settings.ts';

/** Where requests come in. */
export class EdgeStack extends Stack {
  constructor(app: App, id: string, settings: Settings, contexts: readonly ContextResources[]) {
    super(app, id, { description: 'Millrace: REST API' });
    const api = new ContractApi(this, 'Api', { settings, contexts });
    new CfnOutput(this, 'ApiId', { value: api.restApiId });
    // Without the slash at the end that the CDK's own output has: paths begin with one.
    const stage = api.deploymentStage.stageName;
    new CfnOutput(this, 'ApiUrl', {
      value: `https://${api.restApiId}.execute-api.${this.region}.${this.urlSuffix}/${stage}`,
    });
  }
}
