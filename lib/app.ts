import { App } from 'aws-cdk-lib';
import { addMillrace } from './millrace.ts';

const app = new App();
addMillrace(app);
app.synth();
