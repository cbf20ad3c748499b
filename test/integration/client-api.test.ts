import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROUTES } from '../../client/api.ts';
import { type JobEvent, Millrace, MillraceError, memoryStateStore, paginate } from '../../client/index.ts';
import { mayRetry, Retries } from '../../client/retry.ts';
import { routes } from '../../contract/routes.ts';
import { type ScriptedServer, startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

let server: ScriptedServer;
let client: Millrace;

beforeEach(async () => {
  server = await startScriptedServer();
  client = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore() });
});
afterEach(() => server.close());

const JOB = 'job_01JD3Z8J3V8K4N5Q6R7S8T9V0W';
const job = (state: string, attempt = 1) => ({ id: JOB, state, attempt });
const failed = (code: string, status: number) => ({
  status,
  body: { error: code, message: 'no', details: { a: 1 }, request_id: 'req-7' },
});

it('knows every route as the contract has it', () => {
  for (const [operation, [method, path]] of Object.entries(ROUTES)) {
    const route = routes[operation as keyof typeof routes];
    expect({ operation, method, path }).toEqual({ operation, method: route.method, path: route.path });
  }
});

describe('calls', () => {
  it('throws the API’s error with its code, details, status and request id', async () => {
    server.answers[`GET /jobs/${JOB}`] = () => failed('JobNotFoundError', 404);
    await expect(client.jobs.get(JOB)).rejects.toMatchObject({
      name: 'MillraceError',
      code: 'JobNotFoundError',
      status: 404,
      requestId: 'req-7',
      details: { a: 1 },
    });
  });

  it('says so when what answers is not the API', async () => {
    server.answers['GET /workflows'] = () => ({ status: 404, body: 'a page' });
    await expect(client.workflows.list()).rejects.toMatchObject({ code: 'UnexpectedAnswerError', status: 404 });
  });

  it('asks for a token before each request', async () => {
    server.answers['GET /workflows'] = () => ({ body: { items: [] } });
    let asked = 0;
    const token = async () => {
      asked += 1;
      return TEST_KEY;
    };
    const other = new Millrace({ url: `${server.url}/`, token, state: memoryStateStore() });
    await other.workflows.list();
    await other.workflows.list();
    expect(asked).toBe(2);
  });

  it('does not repeat what cannot heal, nor the creation of a key', async () => {
    server.answers['POST /keys'] = () => failed('ServiceBusyError', 503);
    await expect(client.keys.create({ name: 'x' })).rejects.toMatchObject({ code: 'ServiceBusyError' });
    expect(server.trace).toEqual(['POST /keys']);
  });

  it('takes a repeat that is refused for a success when the first answer was lost', async () => {
    const answers: ('cut' | ReturnType<typeof failed>)[] = ['cut', failed('FileNotFoundError', 404)];
    server.answers['DELETE /files/file_1'] = () => answers.shift() ?? {};
    await expect(client.files.delete('file_1')).resolves.toBeUndefined();
    answers.push(failed('FileNotFoundError', 404));
    await expect(client.files.delete('file_1')).rejects.toMatchObject({ code: 'FileNotFoundError' });
  });

  it('answers with the job when the answer to a retry was lost', async () => {
    const answers: ('cut' | ReturnType<typeof failed>)[] = ['cut', failed('JobNotRetryableError', 409)];
    server.answers[`POST /jobs/${JOB}/retry`] = () => answers.shift() ?? {};
    server.answers[`GET /jobs/${JOB}`] = () => ({ body: job('queued', 2) });
    expect(await client.jobs.retry(JOB)).toMatchObject({ state: 'queued', attempt: 2 });
  });

  it('ends every call when the client’s signal is aborted', async () => {
    server.faults['GET /workflows'] = ['silence'];
    const signal = AbortSignal.timeout(100);
    const other = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore(), signal });
    await expect(other.workflows.list()).rejects.toMatchObject({ code: 'AbortedError' });
  });

  it('walks through all pages of a listing', async () => {
    server.answers['GET /jobs'] = (url) => {
      const page = Number(url.searchParams.get('cursor') ?? 0);
      return { body: { items: [{ id: `job_${page}` }], ...(page < 2 && { next_cursor: String(page + 1) }) } };
    };
    const ids: string[] = [];
    for await (const { id } of paginate((cursor) => client.jobs.list({ cursor }))) ids.push(id);
    expect(ids).toEqual(['job_0', 'job_1', 'job_2']);
  });
});

describe('retries', () => {
  it.each([
    ['NetworkError', undefined, true],
    ['StorageRefusedError', 503, true],
    ['TooManyRequestsError', 429, true],
    ['UnexpectedAnswerError', 408, true],
    ['UnexpectedAnswerError', 200, false],
    ['ValidationError', 400, false],
    ['AbortedError', undefined, false],
  ] as const)('%s with status %s may be retried: %s', (code, status, retryable) => {
    expect(mayRetry(new MillraceError(code, '', { ...(status && { status }) }))).toBe(retryable);
  });

  it('waits as long as the server asks', async () => {
    const started = performance.now();
    const error = new MillraceError('TooManyRequestsError', '', { status: 429, retryAfterSeconds: 0.4 });
    await new Retries({ seconds: 5, attempts: 3 }).pause(error, undefined);
    expect(performance.now() - started).toBeGreaterThanOrEqual(390);
  });

  it('gives up only when both attempts and time are used up', async () => {
    const error = new MillraceError('NetworkError', 'gone');
    const byTime = new Retries({ seconds: 0.5, attempts: 1 });
    await byTime.pause(error, undefined);
    const untilGivenUp = async () => {
      for (;;) await byTime.pause(error, undefined);
    };
    await expect(untilGivenUp()).rejects.toBe(error);
    expect(byTime.failures).toBeGreaterThan(1);
    await expect(new Retries({ seconds: 0, attempts: 1 }).pause(error, undefined)).rejects.toBe(error);
  });

  it.each([
    [500, false],
    [502, true],
  ] as const)('an InternalError with status %s is worth more than two more attempts: %s', async (status, isWorthIt) => {
    const error = new MillraceError('InternalError', '', { status });
    const retries = new Retries({ seconds: 60, attempts: 2 });
    await retries.pause(error, undefined);
    await retries.pause(error, undefined);
    const third = retries.pause(error, undefined);
    if (isWorthIt) await expect(third).resolves.toBeUndefined();
    else await expect(third).rejects.toBe(error);
  });
});

describe('watch', () => {
  /** Events `1`, `2`, … with these states, told in pages; a failure of one poll by its number from 0. */
  function play(states: [state: string, attempt?: number][], more: { cuts?: number[]; perPage?: number } = {}) {
    const events = states.map(([state, attempt = 1], index) => ({
      id: `${JOB}-${attempt}-${state}`,
      type: `job.${state}`,
      time: '2026-01-01T00:00:00.000Z',
      tenant_id: 'acme',
      data: { job_id: JOB, workflow: 'tiny', state, attempt },
      cursor: String(index + 1),
    }));
    let polls = 0;
    server.answers[`GET /jobs/${JOB}/events`] = (url) => {
      if (more.cuts?.includes(polls++)) return 'cut';
      const after = Number(url.searchParams.get('after') ?? 0);
      const items = events.slice(after, after + (more.perPage ?? 500));
      return { body: { items, ...(items.length > 0 && { next_cursor: items.at(-1)?.cursor }) } };
    };
    const [state = '', attempt = 1] = states.at(-1) ?? ['completed'];
    server.answers[`GET /jobs/${JOB}`] = () => ({ body: job(state, attempt) });
  }

  async function watched(after?: string): Promise<string[]> {
    const cursors: string[] = [];
    const events: AsyncIterable<JobEvent> = client.jobs.watch(JOB, after ? { after } : {});
    for await (const event of events) cursors.push(event.cursor);
    return cursors;
  }

  it('tells each event once, in order, through cut connections, and ends with the job', async () => {
    play([['queued'], ['running'], ['cancelling'], ['cancelled']], { cuts: [0, 2, 3], perPage: 1 });
    expect(await watched()).toEqual(['1', '2', '3', '4']);
  });

  it('goes on after a cursor', async () => {
    play([['queued'], ['running'], ['completed']]);
    expect(await watched('2')).toEqual(['3']);
  });

  it('does not end at an end after which the job was retried', async () => {
    play([['running'], ['failed'], ['queued', 2], ['running', 2], ['completed', 2]], { perPage: 2 });
    expect(await watched()).toEqual(['1', '2', '3', '4', '5']);
  });

  it('ends for a job whose events are deleted', async () => {
    play([]);
    server.answers[`GET /jobs/${JOB}`] = () => ({ body: job('completed') });
    expect(await watched()).toEqual([]);
  });

  it('waits for a job and answers with it, however it ended', async () => {
    play([['queued'], ['running'], ['failed']]);
    const states: string[] = [];
    const ended = await client.jobs.wait(JOB, {
      onEvent: ({ data }) => 'state' in data && states.push(data.state),
    });
    expect(ended.state).toBe('failed');
    expect(states).toEqual(['queued', 'running', 'failed']);
  });

  it('ends when it is stopped', async () => {
    play([['queued'], ['running']]);
    await expect(client.jobs.wait(JOB, { signal: AbortSignal.timeout(200) })).rejects.toMatchObject({
      code: 'AbortedError',
    });
  });
});
