import { setImmediate, setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import { DomainError } from '../../contract/errors.ts';

/** What the wrapped ports do at a call: nothing, wait, or throw before or after it is carried out. */
interface Faults {
  /** Counts the calls, from 1. */
  calls: number;
  before: (call: number, name: string) => void | Promise<void>;
  after: (call: number, name: string) => void | Promise<void>;
}

function steady(): Faults {
  return { calls: 0, before: () => {}, after: () => {} };
}

/** The process ends at the nth call: that one and all that follow fail, as they would if nobody made them. */
function crashAt(n: number, when: 'before' | 'after'): Faults {
  const crash = (from: number) => (call: number) => {
    if (call >= from) throw new Error('crashed by the test');
  };
  return { calls: 0, before: crash(when === 'before' ? n : n + 1), after: crash(n) };
}

/** The nth call alone fails: it is refused, or its answer is lost. */
function failAt(n: number, when: 'before' | 'after'): Faults {
  const fail = (call: number) => {
    if (call === n) throw new DomainError('ServiceBusyError', 'failed by the test');
  };
  return { ...steady(), [when]: fail };
}

/** A point in the code that a test waits for: the first call of a port's method stops there until it is opened. */
interface NamedPoint {
  readonly reached: Promise<void>;
  open(): void;
}

/** Stops at the first call of each of these methods of the ports, so that races happen where the test says, not when. */
export function atPoints<Name extends string>(
  ...names: readonly Name[]
): { faults: Faults; points: Readonly<Record<Name, NamedPoint>> } {
  const stops = new Map<string, () => Promise<void>>();
  const points = Object.fromEntries(
    names.map((name) => {
      const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      stops.set(name, () => {
        stops.delete(name);
        reached.resolve();
        return opened.promise;
      });
      return [name, { reached: reached.promise, open: opened.resolve }];
    }),
  );
  const before = (_: number, name: string) => stops.get(name)?.();
  return { faults: { ...steady(), before }, points: points as Record<Name, NamedPoint> };
}

/** Has calls take turns at random, some as long as a part takes to arrive, and some of them fail. */
export function randomFaults(random: () => number, rate: number): Faults {
  const maybe = async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await setImmediate();
    if (random() < 0.1) await setTimeout(random() * 8);
    if (random() < rate / 2) throw new DomainError('ServiceBusyError', 'failed by the test');
  };
  return { calls: 0, before: maybe, after: maybe };
}

/** Ports that do harm as planned: calls of all of them count together. */
export class FaultyPorts {
  #faults = steady();
  #inFlight = 0;

  /** The port, with the present faults at each call. */
  wrap<Port extends object>(port: Port): Port {
    return new Proxy(port, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => this.#call(String(name), () => member.apply(target, args));
      },
    });
  }

  async #call(name: string, carryOut: () => unknown): Promise<unknown> {
    const present = this.#faults;
    present.calls += 1;
    const call = present.calls;
    this.#inFlight += 1;
    try {
      await present.before(call, name);
      const result = await carryOut();
      await present.after(call, name);
      return result;
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Runs with faults; afterwards all goes well again. Answers how many calls there were, and what was thrown. */
  readonly withFaults = async (
    planned: Faults,
    run: () => Promise<unknown>,
  ): Promise<{ calls: number; error: unknown }> => {
    this.#faults = planned;
    const error = await run().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    this.#faults = steady();
    return { calls: planned.calls, error };
  };

  /** The calls of a run in their order, and how many were under way at once. */
  readonly callsDuring = async (run: () => Promise<unknown>): Promise<{ names: string[]; atOnce: number }> => {
    const names: string[] = [];
    let atOnce = 0;
    const before = (_: number, name: string) => {
      names.push(name);
      atOnce = Math.max(atOnce, this.#inFlight);
    };
    const { error } = await this.withFaults({ ...steady(), before }, run);
    if (error) throw error;
    return { names, atOnce };
  };

  /** Until nothing goes on that was answered before it ended. */
  readonly idle = async (): Promise<void> => {
    for (let idleTurns = 0; idleTurns < 5; idleTurns = this.#inFlight > 0 ? 0 : idleTurns + 1) await setImmediate();
  };
}

const FAULTS = { crashAt, failAt };
export const FAULT_CASES = (['crashAt', 'failAt'] as const).flatMap((kind) =>
  (['before', 'after'] as const).map((when) => ({ kind, when })),
);
export type FaultCase = (typeof FAULT_CASES)[number];

interface FaultyWorld {
  withFaults: FaultyPorts['withFaults'];
  close(): void | Promise<void>;
}

/**
 * Runs `operation` in a new world for every n, with a fault at its nth call of a port, until there are no more calls.
 * `healed` then demands that the world is right, in whichever way it looks at it.
 */
export async function atEveryCall<World extends FaultyWorld, Prepared>(
  { kind, when }: FaultCase,
  open: () => World | Promise<World>,
  prepare: (world: World) => Promise<Prepared>,
  operation: (world: World, prepared: Prepared) => Promise<unknown>,
  healed: (world: World, prepared: Prepared) => Promise<void>,
): Promise<void> {
  for (let n = 1; ; n += 1) {
    const world = await open();
    try {
      const prepared = await prepare(world);
      const { calls } = await world.withFaults(FAULTS[kind](n, when), () => operation(world, prepared));
      await healed(world, prepared);
      if (calls >= n) continue;
      // Of the calls in the last world none failed; there must have been some before.
      expect(n).toBeGreaterThan(2);
      return;
    } catch (error) {
      throw new Error(`with a fault ${when} call ${n}: ${error}`, { cause: error });
    } finally {
      await world.close();
    }
  }
}
