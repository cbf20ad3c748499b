import { crc64NvmeEngine, encodeCrc64Nvme } from '../../contract/crc64nvme.ts';
import { abortedError, MillraceError } from '../errors.ts';

/**
 * The worker's program. It is text, not a file of its own, so that it works from any bundle; and not a function's text,
 * which bundlers and compilers change.
 */
const PROGRAM = `
let engine;
const cancelled = new Set();
onmessage = async ({ data }) => {
  if (data.module) {
    engine = await start(data).catch(() => undefined);
    postMessage({ ready: engine !== undefined });
  } else if (data.cancel) {
    cancelled.add(data.cancel);
  } else {
    const { id, blob } = data;
    const outcome = await hash(id, blob).then((state) => ({ state }), (error) => ({ error: String(error) }));
    cancelled.delete(id);
    postMessage({ id, ...outcome });
  }
};
async function start({ module, tables, input, inputBytes }) {
  const { exports } = await WebAssembly.instantiate(module);
  new Uint8Array(exports.memory.buffer).set(tables);
  return {
    input: new Uint8Array(exports.memory.buffer, input, inputBytes),
    update: (state, bytes) => exports.update(state, input, bytes),
  };
}
async function hash(id, blob) {
  const { input, update } = engine;
  const reader = blob.stream().getReader();
  let state = -1n;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return state;
    if (cancelled.has(id)) {
      await reader.cancel();
      return state;
    }
    for (let at = 0; at < value.length; at += input.length) {
      const piece = value.subarray(at, at + input.length);
      input.set(piece);
      state = update(state, piece.length);
    }
  }
}
`;

type Answer = { readonly id: number } & ({ readonly state: bigint } | { readonly error: string });

interface Hasher {
  hash(blob: Blob, signal: AbortSignal | undefined): Promise<string | undefined>;
}

let hasher: Promise<Hasher | undefined> | undefined;

/**
 * The CRC64NVME of a Blob, in base64, hashed beside the page's own thread; undefined where the page's security policy
 * allows no such worker. Throws `AbortedError` and `FileUnreadableError`.
 */
export async function hashInWorker(blob: Blob, signal: AbortSignal | undefined): Promise<string | undefined> {
  hasher ??= startHasher().catch(() => undefined);
  return (await hasher)?.hash(blob, signal);
}

async function startHasher(): Promise<Hasher> {
  const url = URL.createObjectURL(new Blob([PROGRAM], { type: 'text/javascript' }));
  const engine = await crc64NvmeEngine();
  const worker = new Worker(url);
  const waiting = new Map<number, (answer: Answer) => void>();
  await new Promise<void>((resolve, reject) => {
    const refused = () => reject(new Error('the page may not hash in a worker'));
    worker.onmessage = ({ data }: MessageEvent<{ ready: boolean }>) => (data.ready ? resolve() : refused());
    worker.onerror = refused;
    worker.postMessage(engine);
  }).finally(() => URL.revokeObjectURL(url));
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    waiting.get(data.id)?.(data);
    waiting.delete(data.id);
  };
  let lastId = 0;
  return {
    hash: (blob, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(abortedError(signal));
        lastId += 1;
        const id = lastId;
        const stop = () => {
          waiting.delete(id);
          worker.postMessage({ cancel: id });
          if (signal) reject(abortedError(signal));
        };
        waiting.set(id, (answer) => {
          signal?.removeEventListener('abort', stop);
          if ('state' in answer) resolve(encodeCrc64Nvme(answer.state));
          // A File fails so once it has changed on disk.
          else reject(new MillraceError('FileUnreadableError', `the file cannot be read: ${answer.error}`));
        });
        signal?.addEventListener('abort', stop, { once: true });
        worker.postMessage({ id, blob });
      }),
  };
}
