import type { Target } from './e2e-setup.ts';

/** What a test may need that not every engine has, and why one lacks it: a skipped test says so. */
export const LACKS: Readonly<Record<string, Partial<Record<Target['engine'], string>>>> = {
  'an engine of executions that others reach': {
    embedded: 'its executions are in its own process; test/unit/jobs-reconcile.test.ts drills them there',
    aws: 'the tests have no credentials for the account',
  },
  'a bus that others can listen to': {
    embedded: 'its bus is in its own process; test/unit/uploads-files.test.ts listens there',
    aws: 'the tests have no credentials for the account',
  },
  'functions whose configuration the tests may change': {
    embedded: 'it has no functions: test/e2e/crashes.test.ts kills its one process',
    aws: 'the tests have no credentials for the account',
  },
  'executions that stop while they wait for an answer': {
    localstack: 'StopExecution does not end one that waits for a task token; on AWS and on one machine it does',
  },
  'a limit of running jobs of its own': {
    localstack: 'the limit is that of the whole deployment',
    aws: 'the limit is that of the whole deployment',
  },
  WebSockets: {
    localstack: 'without an account it has no WebSocket APIs; the stack is tested on MiniStack',
  },
  'checksums of whole objects': {
    ministack: 'its multipart uploads have none',
  },
  'a server process that can be killed': {
    localstack: 'there is no server on AWS: its functions start and end by themselves',
    aws: 'there is no server on AWS: its functions start and end by themselves',
  },
};

/** The reason why this engine cannot run such a test; undefined if it can. */
export function lackOf(capability: keyof typeof LACKS, engine: Target['engine']): string | undefined {
  return LACKS[capability]?.[engine];
}
