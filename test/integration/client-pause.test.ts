import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Millrace, MillraceError, memoryStateStore, PauseController, type UploadProgress } from '../../client/index.ts';
import { type ScriptedServer, startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const PART = 64 * 1024;
const SOON_MS = 200;

let server: ScriptedServer;
let client: Millrace;

beforeEach(async () => {
  server = await startScriptedServer({ partSizeBytes: PART });
  client = new Millrace({ url: server.url, apiKey: TEST_KEY, state: memoryStateStore() });
});
afterEach(() => server.close());

const puts = () => server.trace.filter((line) => line.startsWith('put '));
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves when the upload has told the phase. */
function watch() {
  const seen: UploadProgress[] = [];
  let tell: () => void = () => {};
  const paused = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const onProgress = (progress: UploadProgress) => {
    seen.push(progress);
    if (progress.phase === 'paused') tell();
  };
  return { seen, paused, onProgress };
}

it('cuts parts in flight when it is paused, counts no error, and goes on with what is missing', async () => {
  const pause = new PauseController();
  const bytes = randomBytes(20 * PART);
  server.faults['put 7'] = [
    () => {
      pause.pause();
      return 'silence';
    },
  ];
  const errors: MillraceError[] = [];
  const { seen, paused, onProgress } = watch();
  const uploading = client.uploads.upload(bytes, {
    pause,
    concurrency: 1,
    retrySeconds: 0,
    onProgress,
    onRetry: (error) => errors.push(error),
  });
  await paused;
  await later(SOON_MS);
  expect(puts()).toHaveLength(7);
  pause.resume();
  const file = await uploading;
  expect(server.bytesOf(file.id)).toEqual(bytes);
  expect(errors).toEqual([]);
  const phases = seen.map(({ phase }) => phase).filter((phase, index, all) => phase !== all[index - 1]);
  expect(phases).toEqual(['hashing', 'uploading', 'paused', 'uploading', 'finalizing', 'done']);
  const bytesSent = seen.map((progress) => progress.bytesSent);
  expect(bytesSent).toEqual([...bytesSent].sort((a, b) => a - b));
});

it('makes no call before it is resumed, if it begins paused', async () => {
  const pause = new PauseController();
  pause.pause();
  const uploading = client.uploads.upload(randomBytes(3 * PART), { pause });
  await later(SOON_MS);
  expect(server.trace).toEqual([]);
  pause.resume();
  await uploading;
  expect(puts()).toHaveLength(3);
});

it('signs again what expired during the pause', async () => {
  // A URL that ends within 20 s is not used any more: after the pause these do.
  server.urlSeconds = 21;
  const pause = new PauseController();
  server.faults['put 1'] = [
    () => {
      server.urlSeconds = 900;
      pause.pause();
      return 'silence';
    },
  ];
  const { paused, onProgress } = watch();
  const uploading = client.uploads.upload(randomBytes(4 * PART), { pause, concurrency: 1, onProgress });
  await paused;
  const before = server.trace.length;
  await later(1_100);
  pause.resume();
  await uploading;
  const after = server.trace.slice(before, -1);
  expect(after).toEqual([1, 2, 3, 4].flatMap((part) => [`sign ${part}`, `put ${part} 200`]));
});

it('can be aborted while it is paused', async () => {
  const pause = new PauseController();
  const stop = new AbortController();
  const { paused, onProgress } = watch();
  server.faults['put 2'] = [() => void pause.pause()];
  const uploading = client.uploads.upload(randomBytes(5 * PART), { pause, signal: stop.signal, onProgress });
  await paused;
  stop.abort();
  await expect(uploading).rejects.toMatchObject({ code: 'AbortedError' });
  expect(pause.paused).toBe(true);
});

it('forgets failures from before the pause', async () => {
  const pause = new PauseController();
  server.faults['put 1'] = [
    { status: 503 },
    () => {
      pause.pause();
      setTimeout(() => pause.resume(), SOON_MS);
      return { status: 503 };
    },
  ];
  const errors: unknown[] = [];
  const bytes = randomBytes(PART);
  const file = await client.uploads.upload(bytes, { pause, onRetry: (error) => errors.push(error) });
  expect(server.bytesOf(file.id)).toEqual(bytes);
  expect(errors).toEqual([expect.any(MillraceError)]);
});
