import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web/wasm';
import { DomainError } from '../../../contract/errors.ts';
import { readObject } from '../../../platform/ports/read-object.ts';
import type { TaskContext } from '../../jobs/public.ts';
import { BUILT_IN_MODEL } from './built-in-model.ts';
import { createPolicyModel } from './policy-model.ts';
import type { Model, PredictionColumn } from './predictions.ts';

/** Models are held in memory; a Lambda of 1,769 MiB has room for this and the runtime. */
const MAX_MODEL_BYTES = 256 * 1024 * 1024;

let runtimeReady: Promise<void> | undefined;
// A worker or a warm Lambda scores many ranges with the same model.
let loaded: { key: string; model: Promise<Model> } | undefined;

/** The model that the job names, or the built-in one; made for `features` columns. */
export function loadModel(ctx: TaskContext<unknown>, features: number): Promise<Model> {
  const file = ctx.files.model_file_id;
  const key = `${file?.object_key ?? 'built-in'} ${features}`;
  if (loaded?.key !== key) {
    // Nobody scores with it any more: a thread and a Lambda run one task at a time.
    loaded?.model.then((model) => model.release()).catch(() => undefined);
    const model = file
      ? readModel(ctx, file.object_key, file.size_bytes).then((bytes) => createModel(file.name, bytes, features))
      : createModel('built-in logistic regression', Buffer.from(BUILT_IN_MODEL, 'base64'), features);
    const entry = { key, model };
    model.catch(() => {
      if (loaded === entry) loaded = undefined;
    });
    loaded = entry;
  }
  return loaded.model;
}

async function readModel(ctx: TaskContext<unknown>, key: string, sizeBytes: number): Promise<Uint8Array> {
  if (sizeBytes > MAX_MODEL_BYTES) {
    throw new DomainError(
      'InputDataError',
      `the model has ${sizeBytes} bytes; at most ${MAX_MODEL_BYTES} are allowed`,
      {
        field: 'model_file_id',
      },
    );
  }
  return readObject(ctx.objects, key);
}

async function startRuntime(): Promise<void> {
  // In a Lambda the file lies beside the bundle; elsewhere it is in the package.
  const beside = new URL('./ort-wasm-simd-threaded.wasm', import.meta.url);
  const inPackage = () => new URL('./ort-wasm-simd-threaded.wasm', import.meta.resolve('onnxruntime-web/wasm'));
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  ort.env.wasm.wasmBinary = await readFile(fileURLToPath(existsSync(beside) ? beside : inPackage()));
}

async function createModel(name: string, bytes: Uint8Array, features: number): Promise<Model> {
  const unusable = (problem: string, cause?: unknown) =>
    new DomainError(
      'InputDataError',
      `the model ${name} cannot be used: ${problem}`,
      { field: 'model_file_id' },
      { cause },
    );
  const checkFeatures = (expected: number) => {
    if (expected === features) return;
    const message = `the model ${name} expects ${expected} features, but the file has ${features} columns`;
    throw new DomainError('InputDataError', message, { field: 'file_id', expected, found: features });
  };
  // No ONNX model begins so: that would be a field of a kind that there is not.
  if (bytes[0] === '{'.charCodeAt(0)) {
    const policy = createPolicyModel(name, bytes);
    if (!policy) throw unusable('it is JSON, but not a policy of the workflow training');
    checkFeatures(policy.features);
    return policy.model;
  }
  runtimeReady ??= startRuntime();
  await runtimeReady;
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(bytes);
  } catch (error) {
    throw unusable('it is not an ONNX model that this runtime can load', error);
  }
  const [input, ...others] = session.inputMetadata;
  if (!input?.isTensor || others.length > 0 || input.type !== 'float32')
    throw unusable('it needs one float input [N, features]');
  const expected = input.shape[1];
  if (typeof expected === 'number') checkFeatures(expected);
  return {
    name,
    async score(values, rows) {
      const tensor = new ort.Tensor('float32', values, [rows, features]);
      let outputs: ort.InferenceSession.OnnxValueMapType;
      try {
        outputs = await session.run({ [input.name]: tensor });
      } catch (error) {
        throw unusable('it fails on these rows', error);
      }
      const columns = session.outputNames.flatMap((output) => columnsOf(output, outputs[output], rows));
      if (columns.length === 0) throw unusable('no output is a tensor with one row per input row (zipmap must be off)');
      return columns;
    },
    release: () => session.release(),
  };
}

function columnsOf(name: string, value: ort.OnnxValue | undefined, rows: number): PredictionColumn[] {
  if (!value || !('dims' in value) || value.dims[0] !== rows) return [];
  if (value.type !== 'int64' && value.type !== 'int32' && value.type !== 'float32') return [];
  const width = value.size / rows;
  const values = value.data as ArrayLike<number | bigint>;
  const kind = value.type === 'float32' ? 'score' : 'label';
  return Array.from({ length: width }, (_, offset) => ({
    name: width === 1 ? name : `${name}_${offset}`,
    kind,
    values,
    stride: width,
    offset,
  }));
}
