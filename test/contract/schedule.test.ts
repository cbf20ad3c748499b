import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { TimerSchedule } from '../../platform/embedded/timer-schedule.ts';
import { silentLog } from '../support/workflow-world.ts';

it('runs soon after its start and again and again, also after a failure', async () => {
  let runs = 0;
  const run = async () => {
    runs += 1;
    throw new Error('broken');
  };
  const schedule = new TimerSchedule({ runs: [{ name: 'broken', everySeconds: 0.02, run }], log: silentLog });
  schedule.start();
  await vi.waitFor(() => expect(runs).toBeGreaterThan(2), 10_000);
  await schedule.stop();
  const after = runs;
  await sleep(100);
  expect(runs).toBe(after);
});

it('never overlaps a run with itself, while others go on', async () => {
  let now = 0;
  let most = 0;
  let slow = 0;
  let quick = 0;
  const slowRun = async () => {
    most = Math.max(most, ++now);
    await sleep(100);
    slow += 1;
    now -= 1;
  };
  const quickRun = async () => {
    quick += 1;
  };
  const schedule = new TimerSchedule({
    runs: [
      { name: 'slow', everySeconds: 0.01, run: slowRun },
      { name: 'quick', everySeconds: 0.01, run: quickRun },
    ],
    log: silentLog,
  });
  schedule.start();
  schedule.start();
  await vi.waitFor(() => expect(slow).toBe(3), 10_000);
  await schedule.stop();
  expect(most).toBe(1);
  expect(quick).toBeGreaterThan(slow);
});

it('stops when the runs that go on have ended', async () => {
  let begun = 0;
  let ended = 0;
  const run = async () => {
    begun += 1;
    await sleep(100);
    ended += 1;
  };
  const schedule = new TimerSchedule({ runs: [{ name: 'slow', everySeconds: 60, run }], log: silentLog });
  schedule.start();
  await vi.waitFor(() => expect(begun).toBe(1), 10_000);
  await schedule.stop();
  expect(ended).toBe(1);
});
