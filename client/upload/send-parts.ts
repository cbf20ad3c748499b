import { partRange } from '../../contract/part-plan.ts';
import type { SignedPart } from '../types.ts';
import { hashRange } from './hash.ts';
import { putPart, signParts } from './put-part.ts';
import type { Session, UploadRun } from './run.ts';

/** Parts hashed and signed in one go: few calls, and the URLs are used soon after. */
const WINDOW_PARTS = 16;
/** The first parts are signed sooner, for nothing is sent until then. 10 GiB, 160 parts, take 2 + 144/16 = 11 calls. */
const FIRST_WINDOW_PARTS = 4;

/** Sends every part that the server lacks or has otherwise; afterwards `session.checksums` knows all parts. */
export async function sendParts(run: UploadRun, session: Session): Promise<void> {
  const failed = new AbortController();
  const inner: UploadRun = { ...run, signal: AbortSignal.any([run.signal, failed.signal]) };
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    failed.abort(error);
  };
  const inFlight = new Set<Promise<void>>();
  const send = async (part: SignedPart, release: () => void) => {
    await putPart(inner, session, part).finally(release);
    run.progress.partDone(part.part_number, part.size_bytes);
  };
  try {
    for await (const part of inOrder(windows(inner, session))) {
      const release = await run.slots.acquire(run.source, part.size_bytes, inner.signal);
      const sending = send(part, release)
        .catch(fail)
        .finally(() => inFlight.delete(sending));
      inFlight.add(sending);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(inFlight);
  if (failure) throw failure.error;
}

/** Hashes the next window while the parts of the present one are sent. */
async function* inOrder(source: AsyncGenerator<SignedPart[]>): AsyncGenerator<SignedPart> {
  let next = source.next();
  try {
    for (;;) {
      const { value: window, done } = await next;
      if (done) return;
      next = source.next();
      // Its failure is met at the next turn, unless the run has failed before.
      next.catch(() => undefined);
      yield* window;
    }
  } finally {
    await next.catch(() => undefined);
  }
}

async function* windows(run: UploadRun, session: Session): AsyncGenerator<SignedPart[]> {
  let window: number[] = [];
  let size = session.signed.size || FIRST_WINDOW_PARTS;
  let signed = 0;
  for (let partNumber = 1; partNumber <= session.upload.part_count; partNumber++) {
    if (await isThere(run, session, partNumber)) continue;
    window.push(partNumber);
    if (window.length < size) continue;
    yield await sign(run, session, window);
    signed += window.length;
    size = (signed < FIRST_WINDOW_PARTS ? FIRST_WINDOW_PARTS : WINDOW_PARTS) - (signed % WINDOW_PARTS);
    window = [];
  }
  if (window.length > 0) yield await sign(run, session, window);
}

/** Whether the server has this part of this version of the file. */
async function isThere(run: UploadRun, session: Session, partNumber: number): Promise<boolean> {
  const { size_bytes, part_size_bytes } = session.upload;
  const { start, end } = partRange(size_bytes, part_size_bytes, partNumber);
  // Whatever notes say: another file that looks alike may have been sent into the session since.
  const checksum = session.checksums.get(partNumber) ?? (await hashRange(run.source, start, end, run.signal));
  session.checksums.set(partNumber, checksum);
  const received = session.received.get(partNumber);
  if (received?.sizeBytes !== end - start) return false;
  if (received.checksum === undefined ? !session.trusted : received.checksum !== checksum) return false;
  run.progress.partDone(partNumber, end - start);
  return true;
}

async function sign(run: UploadRun, session: Session, partNumbers: readonly number[]): Promise<SignedPart[]> {
  const ready = partNumbers.map((partNumber) => session.signed.get(partNumber));
  if (ready.every((part) => part !== undefined)) {
    session.signed.clear();
    return ready;
  }
  return signParts(run, session, partNumbers);
}
