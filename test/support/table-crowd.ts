import { Worker } from 'node:worker_threads';
import { DomainError } from '../../contract/errors.ts';
import type { Table } from '../../platform/ports/table.ts';

/** What one of several clients of a table does at the same time as the others. */
export interface CrowdOrder {
  readonly pk: string;
  readonly client: string;
  /** How often it does each thing. */
  readonly times: number;
}

export const ACCOUNTS = 4;
export const OPENING_BALANCE = 20;
export const CLAIMS = 10;

export const accountKey = (pk: string, account: number) => ({ pk, sk: `account#${account}` });
export const counterKey = (pk: string) => ({ pk, sk: 'counter' });

/** Answers how many claims it won. */
export async function workInCrowd(table: Table, { pk, client, times }: CrowdOrder): Promise<number> {
  let won = 0;
  for (let claim = 0; claim < CLAIMS; claim += 1) {
    const item = { pk, sk: `claim#${claim}`, client };
    const { ok } = await untilAnswered(() => table.write({ op: 'put', item, unlessExists: true }));
    if (ok) won += 1;
  }
  for (let time = 0; time < times; time += 1) {
    await untilAnswered(() => countUp(table, pk));
    await transfer(table, { pk, id: `${client}-${time}` });
    const key = accountKey(pk, time % ACCOUNTS);
    await untilAnswered(() => table.write({ op: 'update', key, add: { touches: 1 } }));
  }
  return won;
}

/** Reads, and writes on the condition that nobody has written since. */
async function countUp(table: Table, pk: string): Promise<void> {
  for (;;) {
    const { n } = (await table.get(counterKey(pk))) ?? { n: 0 };
    const update = { op: 'update', key: counterKey(pk), if: { n: Number(n) }, set: { n: Number(n) + 1 } } as const;
    if ((await table.write(update)).ok) return;
  }
}

/** Moves an amount if there is enough, and keeps a record of it; a repetition meets the record. */
async function transfer(table: Table, { pk, id }: { pk: string; id: string }): Promise<void> {
  const from = Math.floor(Math.random() * ACCOUNTS);
  const to = (from + 1 + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS;
  const amount = 1 + Math.floor(Math.random() * 15);
  await untilAnswered(() =>
    table.transact([
      {
        op: 'update',
        key: accountKey(pk, from),
        if: { balance: { gt: amount - 1 } },
        add: { balance: -amount, moves: 1 },
      },
      { op: 'update', key: accountKey(pk, to), add: { balance: amount, moves: 1 } },
      { op: 'put', item: { pk, sk: `transfer#${id}`, from, to, amount }, unlessExists: true },
    ]),
  );
}

async function untilAnswered<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof DomainError && error.code === 'ServiceBusyError')) throw error;
    }
  }
}

/** The same by a thread of its own on the table in a database file. */
export function workInThread(databaseFile: string, order: CrowdOrder): Promise<number> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./table-worker.ts', import.meta.url), { workerData: { databaseFile, order } });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
