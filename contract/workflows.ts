// Every workflow, one a line; read it as a namespace. Tasks import their own workflow alone.
export { inference } from './workflows/inference.ts';
export { publishing } from './workflows/publishing.ts';
export { training } from './workflows/training.ts';
