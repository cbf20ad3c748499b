import { monotonicFactory } from 'ulid';
import type { Clock } from '../../platform/ports/clock.ts';

/** A clock that stands still unless it is told to go on. */
export class TestClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00.000Z');
  readonly #ulid = monotonicFactory();

  now(): Date {
    return new Date(this.#now);
  }

  newId(): string {
    return this.#ulid(this.#now);
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
