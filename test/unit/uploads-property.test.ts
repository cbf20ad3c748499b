import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UPLOAD_STATES } from '../../contract/choices.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { DomainError } from '../../contract/errors.ts';
import { ENDED_SESSION_SECONDS } from '../../contract/limits.ts';
import type { Upload } from '../../contract/uploads.ts';
import { multipartOf } from '../../lambdas/uploads/records.ts';
import { nextState, TRANSITION_NAMES } from '../../lambdas/uploads/transitions.ts';
import type { MultipartKey } from '../../platform/ports/object-store.ts';
import { randomFaults } from '../support/faulty-ports.ts';
import { randomFrom } from '../support/random.ts';
import { DAY_MS, openUploadsWorld, someBytes, type UploadsWorld } from '../support/uploads-world.ts';

const CONTENTS = [someBytes(10, 1), someBytes(10, 2)] as const;
const CHECKSUMS = await Promise.all(CONTENTS.map(crc64Nvme));
const legal = new Set(
  UPLOAD_STATES.flatMap((from) => TRANSITION_NAMES.map((transition) => `${from} ${nextState(from, transition)}`)),
);

const which = fc.nat(2);
const content = fc.nat(1);
const single = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant('open' as const),
      integrity: fc.constantFrom('parts' as const, 'whole' as const),
      fits: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ act: fc.constant('send' as const), which, content }) },
  {
    weight: 8,
    arbitrary: fc.record({ act: fc.constant('complete' as const), which, content: fc.option(content) }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('abort' as const), which }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('delete' as const), which, permanent: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('restore' as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('wait' as const), ms: fc.constantFrom(1_000, 61_000, 61_000, 7 * DAY_MS) }),
  },
);
/** Parts that change while their session is completed. */
const race = fc.record({
  act: fc.constant('at_once' as const),
  acts: fc.array(
    fc.oneof(
      fc.record({ act: fc.constant('send' as const), which: fc.constant(0), content }),
      fc.record({ act: fc.constant('complete' as const), which: fc.constant(0), content: fc.constant(null) }),
    ),
    { minLength: 3, maxLength: 6 },
  ),
});
/** A part that comes between the look at the parts and the object of them: whatever else is slow or quick, it does. */
const overtake = fc.record({ act: fc.constant('overtake' as const), which: fc.constant(0), content });
const act = fc.oneof(
  { weight: 4, arbitrary: race },
  { weight: 1, arbitrary: overtake },
  { weight: 4, arbitrary: single },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant('at_once' as const),
      acts: fc.array(single, { minLength: 2, maxLength: 5 }),
    }),
  },
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

/** What may fail: the test's faults, and refusals that the API promises. */
const EXPECTED = [
  'ServiceBusyError',
  'UploadNotOpenError',
  'PartsMissingError',
  'ChecksumMismatchError',
  'ContentMismatchError',
  'FileNotFoundError',
  'QuotaExceededError',
];

async function tolerate(action: Promise<unknown>, isForgotten = () => false): Promise<void> {
  await action.catch((error: unknown) => {
    if (!(error instanceof DomainError)) throw error;
    if (error.code === 'UploadNotFoundError' && isForgotten()) return;
    if (!EXPECTED.includes(error.code)) throw error;
  });
}

interface Session {
  readonly upload: Upload;
  readonly multipart: MultipartKey;
  /** As it was told of first. */
  file?: unknown;
}

class Play {
  readonly sessions: Session[] = [];
  readonly world: UploadsWorld;
  /** To come before the next object is made. */
  #overtaking: (() => Promise<void>) | undefined;

  constructor(world: UploadsWorld) {
    this.world = world;
  }

  async beforeCall(name: string): Promise<void> {
    if (name !== 'completeMultipart') return;
    const overtaking = this.#overtaking;
    this.#overtaking = undefined;
    await overtaking?.();
  }

  async act(step: Act): Promise<void> {
    const { world } = this;
    if (step.act === 'at_once') return void (await Promise.all(step.acts.map((each) => this.act(each))));
    if (step.act === 'open') return tolerate(this.#open(step.integrity, step.fits));
    if (step.act === 'sweep') return tolerate(world.sweep());
    if (step.act === 'wait') return world.clock.advance(step.ms);
    const session = this.sessions.at(-1 - step.which);
    if (!session) return;
    // A session's record is kept for 30 days after its end, which may have been soon after its beginning.
    const isForgotten = () =>
      world.clock.now().getTime() - Date.parse(session.upload.created_at) >= ENDED_SESSION_SECONDS * 1_000;
    const params = { upload_id: session.upload.id, file_id: session.upload.id.replace('upl_', 'file_') };
    if (step.act === 'send') await this.#send(session, step.content);
    else if (step.act === 'overtake') {
      await this.#send(session, step.content);
      this.#overtaking = () => this.#send(session, 1 - step.content);
      await tolerate(this.#complete(session, undefined), isForgotten);
    } else if (step.act === 'abort') await tolerate(world.call('abortUpload', { params }), isForgotten);
    else if (step.act === 'restore') await tolerate(world.call('restoreFile', { params }));
    else if (step.act === 'delete') {
      await tolerate(world.call('deleteFile', { params, query: step.permanent ? { permanent: 'true' } : {} }));
    } else {
      const checksum = step.content === null ? undefined : CHECKSUMS[step.content];
      await tolerate(this.#complete(session, checksum), isForgotten);
    }
  }

  async #open(integrity: 'parts' | 'whole', fits: boolean): Promise<void> {
    const contentType = fits ? 'text/plain' : 'image/png';
    const { upload } = await this.world.init({ integrity, content_type: contentType });
    const kept = this.world.uploads().find(({ upload_id }) => upload_id === upload.id);
    if (kept) this.sessions.push({ upload, multipart: multipartOf(kept) });
  }

  /** A part arrives, as by a URL that was signed at the start: whatever has become of the session. */
  async #send({ multipart }: Session, which: number): Promise<void> {
    const part = { ...multipart, partNumber: 1, sizeBytes: 10, checksumCrc64Nvme: CHECKSUMS[which] as string };
    await this.world.store.receivePart(part, [CONTENTS[which] as Uint8Array]);
  }

  async #complete(session: Session, checksum: string | undefined): Promise<void> {
    const { body } = await this.world.complete(session.upload.id, {
      ...(checksum && { checksum_crc64nvme: checksum }),
    });
    if (!('file' in body)) return;
    if (checksum) expect(body.file.receipt.checksum_crc64nvme).toBe(checksum);
    session.file ??= body.file;
    expect(body.file).toEqual(session.file);
    expect(session.upload.content_type).toBe('text/plain');
  }
}

/** Of sessions of 10 bytes: few of the runs meet none of them. */
const quotasOfRun = fc.record(
  {
    stored_bytes: fc.integer({ min: 10, max: 60 }),
    bytes_per_day: fc.integer({ min: 30, max: 80 }),
    open_sessions: fc.integer({ min: 1, max: 4 }),
  },
  { requiredKeys: [] },
);

const numRuns = Number(process.env.PROPERTY_RUNS ?? 60);

describe('sessions under any sequence of acts, faults and late parts', () => {
  test('make one file each or none, keep its bytes, and leave nothing else', {
    timeout: 20_000 + 1_000 * numRuns,
  }, async () => {
    const acts = fc.array(act, { minLength: 10, maxLength: 40, size: 'max' });
    const seed = Number(process.env.PROPERTY_SEED ?? 20_260_102);
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(acts, fc.nat(), quotasOfRun, async (steps, faultSeed, quotas) => {
        const world = await openUploadsWorld({ patienceMs: 20, quotas });
        const play = new Play(world);
        const random = randomFrom(faultSeed);
        try {
          for (const step of [{ act: 'open', integrity: 'parts', fits: true } as const, ...steps]) {
            const faults = randomFaults(random, 0.02);
            const before = async (call: number, name: string) => {
              await play.beforeCall(name);
              await faults.before(call, name);
            };
            const { error } = await world.withFaults({ ...faults, before }, () => play.act(step));
            if (error) throw error;
            await world.idle();
            await world.check();
          }
          await world.checkClean();
          world.clock.advance(8 * DAY_MS);
          await world.checkClean();
          for (const move of world.moves()) {
            expect(legal).toContain(move);
            seen.set(move, (seen.get(move) ?? 0) + 1);
          }
          for (const { state } of world.uploads()) expect(['open', 'completing']).not.toContain(state);
          world.clock.advance(31 * DAY_MS);
          await world.purge();
          expect(world.uploads()).toEqual([]);
          await world.checkClean();
        } finally {
          await world.close();
        }
      }),
      { numRuns, seed },
    );
    // Otherwise the acts are not what they should be.
    expect([...seen.keys()].sort()).toEqual([...legal].filter((move) => !move.includes('undefined')).sort());
  });
});
