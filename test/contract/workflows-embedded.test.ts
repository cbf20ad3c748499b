import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { compileStateMachine } from '../../platform/embedded/state-machine.ts';
import type { Value } from '../../platform/ports/table.ts';
import { machine, mapState, taskState, waitingState } from '../support/workflow-machines.ts';
import { ending, type LocalWorld, openLocalWorld, type TaskOrder, type WorkerNote } from '../support/workflow-world.ts';

const RETRY_BUSY = [{ ErrorEquals: ['TaskBusyError'], IntervalSeconds: 1, MaxAttempts: 2, BackoffRate: 1 }];

const ITEMS = [0, 1, 2, 3, 4, 5, 6, 7];

const DEFINITIONS = {
  one: machine({ Work: taskState() }),
  short: machine({ Work: taskState({ TimeoutSeconds: 1 }) }),
  hurried: machine({ Each: mapState(2) }, { TimeoutSeconds: 3 }),
  busy: machine({ Work: taskState({ Retry: RETRY_BUSY }) }),
  caught: machine({
    Work: taskState({
      OutputPath: '$',
      Catch: [
        { ErrorEquals: ['TaskBusyError'], Next: 'Wrong' },
        { ErrorEquals: ['InputDataError'], ResultPath: '$.error', Next: 'Mend' },
      ],
    }),
    Mend: { Type: 'Pass', OutputPath: '$.error', End: true },
    Wrong: { Type: 'Fail', Error: 'WrongCatch', Cause: '' },
  }),
  each: machine({ Each: mapState(2) }),
  shortEach: machine({ Each: mapState(ITEMS.length, { Work: taskState({ TimeoutSeconds: 3 }) }) }),
  eachThenOne: machine({
    Each: mapState(2, undefined, {
      ResultPath: null,
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'After' }],
      Next: 'After',
    }),
    After: taskState({ Parameters: { FunctionName: 'worker', Payload: { do: 'echo' } } }),
  }),
  waiting: machine({ Wait: waitingState({ ResultPath: '$.answer' }) }),
  beating: machine({
    Wait: waitingState({ HeartbeatSeconds: 2, Catch: [{ ErrorEquals: ['States.HeartbeatTimeout'], Next: 'Silent' }] }),
    Silent: { Type: 'Pass', Result: 'silent', End: true },
  }),
  mended: machine({
    Each: mapState(2, {
      Work: taskState({ Catch: [{ ErrorEquals: ['InputDataError'], Next: 'Mend' }] }),
      Mend: { Type: 'Pass', End: true },
    }),
  }),
};

const order = (of: TaskOrder) => ({
  items: ITEMS,
  order: { do: 'echo', ms: 0, failItem: -1, name: 'InputDataError', ...of },
});
const itemsOf = (notes: readonly WorkerNote[], event: WorkerNote['event']) =>
  notes
    .filter((note) => note.event === event)
    .map((note) => note.item)
    .sort();

describe('embedded workflows', () => {
  let world: LocalWorld;
  let runs = 0;
  beforeAll(() => {
    world = openLocalWorld({ definitions: DEFINITIONS });
  });
  afterAll(() => world.close());

  /** Starts an execution; what it notes comes after what was noted before. */
  const start = async (workflow: string, input: unknown, of = world) => {
    runs += 1;
    const name = `run-${runs}`;
    const before = of.notes().length;
    await of.workflows.start({ workflow, name, input: input as Value });
    const notes = () => of.notes().slice(before);
    return {
      name,
      notes,
      ending: () => ending(of.workflows, workflow, name),
      begun: (count: number) => vi.waitFor(() => expect(itemsOf(notes(), 'start').length).toBe(count), 15_000),
      told: () =>
        vi.waitFor(() => of.ended.find((one) => one.name === name) ?? Promise.reject(new Error('not told')), 10_000),
    };
  };

  /** Nothing of it runs on when its end is told, and nothing comes later. */
  const expectQuiet = async (run: Awaited<ReturnType<typeof start>>) => {
    const { at } = await run.told();
    const count = run.notes().length;
    const { ending: later } = await start('one', { ms: 300 });
    await later();
    const own = run.notes().filter((note) => note.item !== null);
    expect(own.every((note) => note.at <= at)).toBe(true);
    expect(own.length).toBe(count);
    return own;
  };

  it('gives a task its payload, its names and its time, and answers its result', async () => {
    const run = await start('one', { do: 'echo', item: 3 });
    const found = await run.ending();
    expect(found).toMatchObject({
      state: 'succeeded',
      output: { workflow: 'one', state: 'Work', payload: { do: 'echo', item: 3 } },
    });
    const { remainingMs } = found.output as { remainingMs: number };
    expect(remainingMs).toBeGreaterThan(15_000);
    expect(remainingMs).toBeLessThanOrEqual(20_000);
    expect(await run.told()).toMatchObject({ workflow: 'one', name: run.name });
  });

  it('keeps the name and the message of an error over the thread boundary', async () => {
    const run = await start('one', { do: 'fail', name: 'InputDataError', message: 'row 7 has no columns' });
    expect(await run.ending()).toMatchObject({
      state: 'failed',
      error: { name: 'InputDataError', cause: 'row 7 has no columns' },
    });
  });

  const tokenOf = async (run: Awaited<ReturnType<typeof start>>) =>
    vi.waitFor(
      () => run.notes().find(({ token }) => token)?.token ?? Promise.reject(new Error('no token yet')),
      15_000,
    );

  it('waits for the answer to a token, which is the result; a second answer reaches nobody', async () => {
    const run = await start('waiting', { do: 'echo' });
    const token = await tokenOf(run);
    expect(await world.workflows.describe({ workflow: 'waiting', name: run.name })).toMatchObject({ state: 'running' });
    expect(await world.workflows.answer({ token, output: { listing: 7 } })).toBe(true);
    expect(await world.workflows.answer({ token, output: { listing: 8 } })).toBe(false);
    expect(await world.workflows.heartbeat({ token })).toBe(false);
    expect(await run.ending()).toMatchObject({ state: 'succeeded', output: { do: 'echo', answer: { listing: 7 } } });
  });

  it('fails a state whose task fails, whatever its token', async () => {
    const run = await start('waiting', { do: 'fail' });
    expect(await run.ending()).toMatchObject({ state: 'failed', error: { name: 'InputDataError' } });
    expect(await world.workflows.answer({ token: await tokenOf(run), output: null })).toBe(false);
  });

  it('waits for as long as it hears heartbeats, and no longer', async () => {
    const run = await start('beating', { do: 'echo' });
    const token = await tokenOf(run);
    for (const until = Date.now() + 2_800; Date.now() < until; await sleep(200)) {
      expect(await world.workflows.heartbeat({ token })).toBe(true);
    }
    expect(await run.ending()).toMatchObject({ state: 'succeeded', output: 'silent' });
    expect(await world.workflows.heartbeat({ token })).toBe(false);
  });

  it('stops an execution that waits for an answer', async () => {
    const run = await start('waiting', { do: 'echo' });
    const token = await tokenOf(run);
    await world.workflows.stop({ workflow: 'waiting', name: run.name, cause: 'enough' });
    await run.told();
    expect(await run.ending()).toMatchObject({ state: 'aborted' });
    expect(await world.workflows.answer({ token, output: null })).toBe(false);
  });

  it('retries by the name of the error, and no other', async () => {
    const busy = await start('busy', { do: 'fail', name: 'TaskBusyError' });
    const other = await start('busy', { do: 'fail', name: 'InputDataError' });
    expect(await busy.ending()).toMatchObject({ state: 'failed', error: { name: 'TaskBusyError' } });
    expect(await other.ending()).toMatchObject({ state: 'failed', error: { name: 'InputDataError' } });
    expect(itemsOf(busy.notes(), 'start').length).toBe(3 + 1);
  });

  it('catches by the name of the error', async () => {
    const run = await start('caught', { do: 'fail', name: 'InputDataError', message: 'bad row' });
    expect(await run.ending()).toMatchObject({
      state: 'succeeded',
      output: { Error: 'InputDataError', Cause: 'bad row' },
    });
  });

  it('runs a map in order of its items, no more at once than it may', async () => {
    const run = await start('each', order({ ms: 20 }));
    const { output } = await run.ending();
    expect((output as unknown as { payload: TaskOrder }[]).map(({ payload }) => payload.item)).toEqual(ITEMS);
    let now = 0;
    let most = 0;
    for (const { event } of run.notes()) {
      now += event === 'start' ? 1 : -1;
      most = Math.max(most, now);
    }
    // Two, if both threads were up in time.
    expect(most).toBeLessThanOrEqual(2);
  });

  it('starts nothing after an item has failed, and ends what runs', async () => {
    const run = await start('each', order({ do: 'fail', failItem: 1, ms: 60_000 }));
    expect(await run.ending()).toMatchObject({ state: 'failed', error: { name: 'InputDataError' } });
    const notes = await expectQuiet(run);
    expect(itemsOf(notes, 'start')).toEqual([0, 1]);
    expect(itemsOf(notes, 'signal')).toEqual([0]);
    expect(itemsOf(notes, 'end')).toEqual([0, 1]);
  });

  it('goes on after a caught failure of a map only when nothing of it runs any more', async () => {
    const run = await start('eachThenOne', order({ do: 'fail', failItem: 1, ms: 60_000 }));
    expect(await run.ending()).toMatchObject({ state: 'succeeded' });
    const after = run.notes().findIndex((note) => note.state === 'After');
    const before = run.notes().slice(0, after);
    expect(itemsOf(before, 'start').length).toBe(2);
    expect(itemsOf(before, 'end').length).toBe(2);
    expect(
      run
        .notes()
        .slice(after)
        .every((note) => note.state === 'After'),
    ).toBe(true);
  });

  it('lets the others go on when the iteration itself catches the failure', async () => {
    const run = await start('mended', order({ do: 'fail', failItem: 1 }));
    const { state, output } = await run.ending();
    expect(state).toBe('succeeded');
    expect((output as Value[]).length).toBe(ITEMS.length);
  });

  it('starts nothing after a stop, signals what runs, and tells the end when the last has ended', async () => {
    const run = await start('each', order({ ms: 60_000 }));
    await run.begun(2);
    await world.workflows.stop({ workflow: 'each', name: run.name, cause: 'cancelled' });
    expect(await world.workflows.describe({ workflow: 'each', name: run.name })).toMatchObject({ state: 'aborted' });
    const notes = await expectQuiet(run);
    expect(itemsOf(notes, 'start')).toEqual([0, 1]);
    expect(itemsOf(notes, 'signal')).toEqual([0, 1]);
    expect(itemsOf(notes, 'end')).toEqual([0, 1]);
  });

  it('starts nothing after the execution timed out', async () => {
    const run = await start('hurried', order({ ms: 60_000 }));
    expect(await run.ending()).toMatchObject({ state: 'timed_out', error: { name: 'States.Timeout' } });
    const notes = await expectQuiet(run);
    expect(itemsOf(notes, 'start')).toEqual([0, 1]);
    expect(itemsOf(notes, 'end')).toEqual([0, 1]);
  });

  it('times a task out by its name', async () => {
    const run = await start('short', { ms: 60_000 });
    expect(await run.ending()).toMatchObject({ state: 'failed', error: { name: 'States.Timeout' } });
    expect(itemsOf(run.notes(), 'signal').length).toBe(1);
  });

  it('does not count the wait for a thread as time of the task', async () => {
    const run = await start('shortEach', order({ ms: 1_000 }));
    expect(await run.ending()).toMatchObject({ state: 'succeeded' });
  });

  it('ends the thread of a task that is deaf to its signal, and no other', async () => {
    const deaf = await start('one', { do: 'spin', ms: 60_000, item: 1 });
    const other = await start('one', { ms: 4_500, item: 2 });
    await deaf.begun(2);
    const stopped = Date.now();
    await world.workflows.stop({ workflow: 'one', name: deaf.name, cause: 'cancelled' });
    const { at } = await deaf.told();
    expect(at - stopped).toBeGreaterThanOrEqual(2_000);
    expect(at - stopped).toBeLessThan(20_000);
    expect(await other.ending()).toMatchObject({ state: 'succeeded' });
    expect(itemsOf(deaf.notes(), 'end')).toEqual([2]);
  });

  it('fails as Lambda.Unknown when the thread exits or runs out of memory, and goes on', async () => {
    const exit = await start('one', { do: 'exit' });
    expect(await exit.ending()).toMatchObject({ state: 'failed', error: { name: 'Lambda.Unknown' } });
    const exhaust = await start('one', { do: 'exhaust' });
    expect(await exhaust.ending()).toMatchObject({ state: 'failed', error: { name: 'Lambda.Unknown' } });
    const next = await start('one', { do: 'echo' });
    expect(await next.ending()).toMatchObject({ state: 'succeeded' });
  });

  it('refuses a result that a state machine could not take', async () => {
    const run = await start('one', { do: 'swell' });
    expect(await run.ending()).toMatchObject({ state: 'failed', error: { name: 'States.DataLimitExceeded' } });
  });

  it('runs the definitions that ship', async () => {
    const inference = JSON.parse(readFileSync('statemachines/inference.asl.json', 'utf8'));
    const shipped = openLocalWorld({ definitions: { inference } });
    const run = await start('inference', { job: { job_id: 'job_1' } }, shipped);
    // The test worker doesn't plan ranges.
    expect(await run.ending()).toMatchObject({ state: 'failed', error: { name: 'States.Runtime' } });
    await shipped.close();
  });

  it('refuses a definition that it could not run', () => {
    const compile = (state: Record<string, unknown>) => () => compileStateMachine('odd', machine({ Work: state }));
    expect(compile(taskState({ Resource: 'arn:aws:states:::sqs:sendMessage' }))).toThrow('Work');
    expect(compile(taskState({ TimeoutSeconds: undefined }))).toThrow('TimeoutSeconds');
    expect(compile({ Type: 'Dance', End: true })).toThrow('odd cannot be run');
  });
});

describe('embedded workflows over the life of a process', () => {
  const folder = mkdtempSync(join(tmpdir(), 'workflows-'));
  const worlds: LocalWorld[] = [];
  const open = (options: Partial<Parameters<typeof openLocalWorld>[0]> = {}) => {
    const database = openDatabase(join(folder, `${expect.getState().currentTestName?.replace(/\W/g, '-')}.db`));
    const world = openLocalWorld({ definitions: DEFINITIONS, database, ...options });
    worlds.push(world);
    return world;
  };
  afterEach(async () => {
    await Promise.all(worlds.splice(0).map((world) => world.close()));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('tells at the next start that what ran was aborted, and runs the same name no second time', async () => {
    const first = open();
    const input = order({ ms: 60_000 }) as unknown as Value;
    await first.workflows.start({ workflow: 'each', name: 'job-1', input });
    await vi.waitFor(() => expect(first.notes().length).toBe(2), 15_000);
    await first.workflows.close();
    expect(first.ended).toEqual([]);
    expect(itemsOf(first.notes(), 'end')).toEqual([0, 1]);
    await expect(first.workflows.start({ workflow: 'each', name: 'job-2', input })).rejects.toMatchObject({
      code: 'ServiceBusyError',
    });

    const second = open();
    await vi.waitFor(() => expect(second.ended).toMatchObject([{ workflow: 'each', name: 'job-1' }]), 10_000);
    expect(await second.workflows.describe({ workflow: 'each', name: 'job-1' })).toMatchObject({ state: 'aborted' });
    await second.workflows.start({ workflow: 'each', name: 'job-1', input });
    expect(await second.workflows.describe({ workflow: 'each', name: 'job-1' })).toMatchObject({ state: 'aborted' });
    await second.close();

    const third = open();
    await third.workflows.start({ workflow: 'one', name: 'job-3', input: {} });
    await vi.waitFor(() => expect(third.ended.map(({ name }) => name)).toEqual(['job-3']), 15_000);
  });

  it('tells the end again until it has been taken, in the next process if need be', async () => {
    let refused = 0;
    const first = open({
      onEnded: async () => {
        refused += 1;
        throw new Error('not now');
      },
    });
    await first.workflows.start({ workflow: 'one', name: 'job-1', input: {} });
    await vi.waitFor(() => expect(refused).toBeGreaterThan(1), 15_000);
    await first.workflows.close();

    const second = open();
    await vi.waitFor(() => expect(second.ended.map(({ name }) => name)).toEqual(['job-1']), 15_000);
    expect(await second.workflows.describe({ workflow: 'one', name: 'job-1' })).toMatchObject({ state: 'succeeded' });
  });

  it('tells at the next start of a stop that the process did not live to tell', async () => {
    const first = open();
    await first.workflows.start({ workflow: 'one', name: 'job-1', input: { do: 'spin', ms: 60_000 } });
    await vi.waitFor(() => expect(first.notes().length).toBe(1), 10_000);
    await first.workflows.stop({ workflow: 'one', name: 'job-1', cause: 'cancelled' });
    expect(first.ended).toEqual([]);
    const second = open();
    await vi.waitFor(() => expect(second.ended).toMatchObject([{ name: 'job-1' }]), 10_000);
  });

  /** Has the database refuse updates of executions of this world as `refuses` says, by their number. */
  const refuseUpdates = ({ database }: LocalWorld, refuses: (update: number) => boolean) => {
    let updates = 0;
    database.function('refuse', () => {
      updates += 1;
      if (refuses(updates)) throw new Error('database or disk is full');
      return null;
    });
    database.exec('CREATE TEMP TRIGGER refusing BEFORE UPDATE ON main.executions BEGIN SELECT refuse(); END');
    return () => updates;
  };

  it('keeps and tells the end of an execution when the database refused it at first', async () => {
    const world = open();
    // The first is of its end, the third of its having been told.
    refuseUpdates(world, (update) => update === 1 || update === 3);
    await world.workflows.start({ workflow: 'one', name: 'job-1', input: { do: 'echo' } });
    expect(await ending(world.workflows, 'one', 'job-1')).toMatchObject({ state: 'succeeded' });
    // Told again, as it was not kept that it was.
    await vi.waitFor(() => expect(new Set(world.ended.map(({ name }) => name))).toEqual(new Set(['job-1'])), 10_000);
    const untold = world.database.prepare('SELECT count(*) AS count FROM executions WHERE told = 0');
    await vi.waitFor(() => expect(untold.get()).toEqual({ count: 0 }), 10_000);
  });

  it('closes though the database keeps no end, and tells of it at the next start', async () => {
    const first = open();
    const updates = refuseUpdates(first, () => true);
    await first.workflows.start({ workflow: 'one', name: 'job-1', input: { do: 'echo' } });
    await vi.waitFor(() => expect(updates()).toBeGreaterThan(1), 10_000);
    await first.workflows.close();
    const second = open();
    await vi.waitFor(() => expect(second.ended).toMatchObject([{ name: 'job-1' }]), 10_000);
    expect(await second.workflows.describe({ workflow: 'one', name: 'job-1' })).toMatchObject({ state: 'aborted' });
  });

  it('closes within the grace of tasks that are deaf to their signal', async () => {
    const world = open();
    await world.workflows.start({ workflow: 'one', name: 'job-1', input: { do: 'spin', ms: 60_000 } });
    await vi.waitFor(() => expect(world.notes().length).toBe(1), 10_000);
    const before = Date.now();
    await world.workflows.close();
    expect(Date.now() - before).toBeLessThan(20_000);
  });
});
