import { readRetryAfter } from '../../contract/backoff.ts';
import { MAX_URL_SECONDS } from '../../contract/limits.ts';
import { partRange } from '../../contract/part-plan.ts';
import { MillraceError } from '../errors.ts';
import type { PartAnswer } from '../ports.ts';
import { mayRetry, Retries } from '../retry.ts';
import type { SignedPart } from '../types.ts';
import { hashRange } from './hash.ts';
import { patiently, type Session, type UploadRun } from './run.ts';

/** How often one part is hashed again after `BadDigest`, and how often a refused URL is signed again in a row. */
const MAX_BAD_DIGESTS = 3;
const MAX_REFUSALS = 5;
/** A URL that ends so soon is signed again before it is used. */
const EXPIRY_MARGIN_MS = 20_000;

/** Error codes of an object store that say the URL, not the bytes, was at fault. */
const URL_CODES = ['AccessDenied', 'ExpiredToken', 'RequestTimeTooSkewed'];
/** Refusals with a 4xx status that an object store gives for connections that broke off. */
const PASSING_CODES = ['RequestTimeout', 'IncompleteBody', 'OperationAborted'];

/** Signs the URLs of parts whose checksums are known. */
export async function signParts(
  run: UploadRun,
  { upload, checksums }: Session,
  partNumbers: readonly number[],
): Promise<SignedPart[]> {
  const parts = partNumbers.map((part_number) => {
    const checksum = checksums.get(part_number);
    return { part_number, ...(upload.integrity === 'parts' && checksum && { checksum_crc64nvme: checksum }) };
  });
  const answer = await run.api.call(
    'signParts',
    { params: { upload_id: upload.id }, body: { parts, expires_in_seconds: MAX_URL_SECONDS } },
    patiently(run),
  );
  return answer.parts;
}

/** Sends one part until the object store has it, by as many attempts, URLs and hashes as it takes, within bounds. */
export async function putPart(run: UploadRun, session: Session, signed: SignedPart): Promise<void> {
  const partNumber = signed.part_number;
  const { retrySeconds, gate } = run;
  const retries = new Retries({ seconds: retrySeconds, attempts: retrySeconds > 0 ? 8 : 1, gate });
  let part = signed;
  let badDigests = 0;
  let refusals = 0;
  const signAgain = async () => {
    const [next] = await signParts(run, session, [partNumber]);
    part = next ?? part;
  };
  for (;;) {
    await gate.pass(run.signal);
    if (Date.parse(part.expires_at) - Date.now() < EXPIRY_MARGIN_MS) await signAgain();
    const outcome = await attempt(run, session, part);
    if (outcome === 'sent') return;
    run.progress.partBytes(partNumber, 0);
    if (outcome === 'paused') continue;
    const { kind, error } = outcome;
    if (kind === 'url') {
      refusals += 1;
      if (refusals > MAX_REFUSALS) throw error;
      // A store that is only now getting to know the credentials gets some time, but the first time none is lost.
      if (refusals > 1) await retries.pause(error, run.signal, run.onRetry);
      await signAgain();
    } else if (kind === 'digest') {
      badDigests += 1;
      if (badDigests > MAX_BAD_DIGESTS) {
        throw new MillraceError(
          'FileChangedError',
          `part ${partNumber} keeps failing its checksum: the file changes, or the connection corrupts it`,
          {
            details: { part_number: partNumber },
            cause: error,
          },
        );
      }
      run.onRetry?.(error);
      await hashAgain(run, session, partNumber);
      await signAgain();
    } else {
      run.slots.failed();
      await retries.pause(error, run.signal, run.onRetry);
      // Some stores cut the connection instead of answering that the URL has expired.
      if (retries.failures % 3 === 0) await signAgain();
    }
  }
}

type Failure = { readonly kind: 'url' | 'digest' | 'passing'; readonly error: MillraceError };

async function attempt(run: UploadRun, session: Session, part: SignedPart): Promise<'sent' | 'paused' | Failure> {
  const { gate, progress, slots } = run;
  const { cut } = gate;
  const { size_bytes, part_size_bytes } = session.upload;
  const { start, end } = partRange(size_bytes, part_size_bytes, part.part_number);
  let answer: PartAnswer;
  let sent = 0;
  try {
    answer = await run.transport.putPart({
      url: part.url,
      headers: part.headers,
      body: run.source.read(start, end),
      sizeBytes: end - start,
      signal: AbortSignal.any([run.signal, cut]),
      stallSeconds: run.stallSeconds,
      onBytes: (bytes) => {
        slots.sent(bytes - sent);
        sent = bytes;
        progress.partBytes(part.part_number, bytes);
      },
    });
  } catch (error) {
    if (cut.aborted && !run.signal.aborted) return 'paused';
    if (mayRetry(error)) return { kind: 'passing', error };
    throw error;
  }
  if (answer.status >= 200 && answer.status < 300) return 'sent';
  return judge(part.part_number, answer);
}

/** What a refusal calls for; throws when nothing would help. */
function judge(partNumber: number, answer: PartAnswer): Failure {
  const code = /<Code>([^<]{1,100})<\/Code>/.exec(answer.text)?.[1] ?? '';
  const retryAfterSeconds = readRetryAfter(answer.retryAfter);
  const error = new MillraceError(
    'StorageRefusedError',
    `the object store refused part ${partNumber}: ${answer.status} ${code}`.trimEnd(),
    {
      status: answer.status,
      details: { part_number: partNumber, storage_code: code },
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    },
  );
  if (code === 'BadDigest') return { kind: 'digest', error };
  if (answer.status === 403 || URL_CODES.includes(code)) return { kind: 'url', error };
  if (mayRetry(error) || PASSING_CODES.includes(code)) return { kind: 'passing', error };
  // The session has ended: signing again tells how, by the API's own error.
  if (answer.status === 404) return { kind: 'url', error };
  throw error;
}

async function hashAgain(run: UploadRun, { upload, checksums }: Session, partNumber: number): Promise<void> {
  const { start, end } = partRange(upload.size_bytes, upload.part_size_bytes, partNumber);
  checksums.set(partNumber, await hashRange(run.source, start, end, run.signal));
}
