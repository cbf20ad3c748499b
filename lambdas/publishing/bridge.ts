import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { FileRef } from '../../contract/jobs.ts';
import { DEFAULT_URL_SECONDS } from '../../contract/limits.ts';
import {
  BRIDGE_RESULTS,
  type BridgeAnswer,
  BridgeCommand,
  type BridgeCommandType,
  type CommandId,
  type MarketplaceAccountId,
  type ProductId,
} from '../../contract/publishing.ts';
import type { Item, Table, Value } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import { eachItem } from '../runtime/listing.ts';
import { longPoll } from '../runtime/long-poll.ts';
import { problemsOf, validationError } from '../runtime/validation.ts';
import { claimListing, releaseListing } from './claims.ts';
import type { PublishingDeps, PublishingServices } from './deps.ts';
import {
  asCommand,
  COMMAND_PREFIX,
  type CommandRecord,
  commandIdOf,
  commandKey,
  commandsPk,
  type Listing,
  queuePk,
} from './records.ts';

/** When no bridge has been heard of for an hour, a command fails its task; so it does when none has answered it in a day. */
const PATIENCE_MS = 3_600_000;
const ANSWER_MS = 24 * 3_600_000;
/** What patience is measured from moves once in this time while a bridge is heard of. */
const HEARD_MS = 60_000;
/** Commands are kept for 30 days; the job's ledger has their results for as long as the job. */
const KEPT_SECONDS = 30 * 24 * 3_600;
/** A look costs a query and, for each command that waits, some reads. */
const POLL_MS = 500;
const QUEUE_PAGE = 100;

type Services = Pick<PublishingServices, 'table' | 'clock'>;

export interface CommandToSend {
  readonly tenantId: TenantId;
  readonly jobId: JobId;
  readonly attempt: number;
  /** The task's id in its job: a task sends one command. */
  readonly task: string;
  readonly accountId: MarketplaceAccountId;
  readonly productId: ProductId;
  readonly type: BridgeCommandType;
  readonly payload: Readonly<Record<string, Value>>;
  readonly image?: FileRef;
}

/**
 * The result of a command. `TaskWaitingError` while there is no answer: the state that waits then has it delivered. One
 * that failed, or was not answered for too long, is sent again by the job's next attempt.
 */
export async function askBridge(services: Services, send: CommandToSend): Promise<Readonly<Record<string, Value>>> {
  const { table, clock } = services;
  const commandId = commandIdOf(send.jobId, send.task);
  const key = commandKey(send.tenantId, commandId);
  const now = clock.now();
  const found = await table.get(key);
  if (!found) {
    const { tenantId: _tenant, task: _task, jobId, accountId, productId, ...rest } = send;
    const record: CommandRecord = {
      ...rest,
      command_id: commandId,
      job_id: jobId,
      account_id: accountId,
      product_id: productId,
      state: 'open',
      sent_at: now.toISOString(),
      begun_at: now.toISOString(),
      created_at: now.toISOString(),
    };
    const item = { ...key, ...record, ttl: ttlAfter(now, KEPT_SECONDS) } as unknown as Item;
    await table.write({ op: 'put', item, unlessExists: true });
    throw waiting(commandId);
  }
  const command = asCommand(found);
  if (command.state === 'done') return command.result ?? {};
  if (command.attempt < send.attempt) {
    await table.write({
      op: 'update',
      key,
      if: { state: ['open', 'failed'], attempt: command.attempt },
      set: { state: 'open', attempt: send.attempt, sent_at: now.toISOString(), begun_at: now.toISOString() },
      remove: ['error'],
    });
    throw waiting(commandId);
  }
  if (command.state === 'failed') throw bridgeError(command);
  if (now.getTime() - Date.parse(command.sent_at) > PATIENCE_MS) {
    throw new DomainError(
      'BridgeSilentError',
      `no bridge has been heard from for an hour, and ${commandId} waits: check that one runs`,
    );
  }
  if (now.getTime() - Date.parse(command.begun_at ?? command.sent_at) > ANSWER_MS) {
    throw new DomainError('BridgeSilentError', `a bridge works on ${commandId}, but has not answered for a day`);
  }
  throw waiting(commandId);
}

function waiting(commandId: CommandId): DomainError {
  return new DomainError('TaskWaitingError', `${commandId} waits for a bridge`);
}

function bridgeError({ error }: CommandRecord): DomainError {
  const message = `the bridge failed: ${error?.message}`;
  return new DomainError(error?.retryable ? 'MarketplaceUnavailableError' : 'ListingRefusedError', message);
}

/** Puts the job's open commands into the queue for bridges, with the token of the state that waits for an answer. */
export async function queueCommands(
  { table, clock }: Services,
  { tenantId, jobId, token }: { tenantId: TenantId; jobId: JobId; token: string },
): Promise<void> {
  const { items } = await table.query({ pk: commandsPk(tenantId, jobId), prefix: COMMAND_PREFIX, limit: 100 });
  let queued = 0;
  for (const { command_id, account_id, state, cursor: before } of items.map(asCommand)) {
    if (state !== 'open') continue;
    const cursor = clock.newId();
    const ttl = ttlAfter(clock.now(), KEPT_SECONDS);
    const moved = await table.transact([
      { op: 'update', key: commandKey(tenantId, command_id), if: { state: 'open' }, set: { token, cursor } },
      { op: 'put', item: { pk: queuePk(tenantId), sk: cursor, command_id, account_id, ttl } },
      ...(before ? [{ op: 'delete', key: { pk: queuePk(tenantId), sk: before } } as const] : []),
    ]);
    if (moved.ok) queued += 1;
  }
  // It was answered before anybody waited.
  if (queued === 0)
    throw new DomainError('CommandNotFoundError', `job ${jobId} has no command that waits for an answer`);
}

interface Receive {
  readonly after?: string | undefined;
  readonly account_id?: MarketplaceAccountId | undefined;
  readonly wait_seconds: number;
  readonly limit: number;
}

/**
 * What a bridge is to do next, in order. Only what a state waits for is given out: a job that was cancelled wants nothing.
 * Nor is what another bridge has received, or what is about the same listing, unless that bridge was not heard of for 20 s.
 */
export function receiveCommands(deps: PublishingDeps, tenantId: TenantId, received: Receive, signal?: AbortSignal) {
  const options = { waitSeconds: received.wait_seconds, pollMs: POLL_MS, signal };
  return longPoll(() => takeCommands(deps, tenantId, received), options);
}

/** The cursor stays before the first command that another bridge keeps from this one. */
async function takeCommands(
  deps: PublishingDeps,
  tenantId: TenantId,
  { after, account_id, limit }: Receive,
): Promise<{ items: BridgeCommand[]; cursor: string | undefined }> {
  const items: BridgeCommand[] = [];
  let next = after;
  let busy = false;
  const queue = { pk: queuePk(tenantId), limit: QUEUE_PAGE, ...(after === undefined ? {} : { after }) };
  for await (const row of eachItem(deps.table, queue)) {
    if (account_id !== undefined && row.account_id !== account_id) continue;
    const taken = await takeCommand(deps, tenantId, row.command_id as CommandId, row.sk);
    if (taken === 'busy') busy = true;
    if (taken === undefined || taken === 'busy') continue;
    items.push(taken);
    if (!busy) next = taken.cursor;
    if (items.length === limit) break;
  }
  return { items, cursor: next };
}

/** Undefined, and out of the queue, when nobody waits for its answer. */
async function takeCommand(
  deps: PublishingDeps,
  tenantId: TenantId,
  commandId: CommandId,
  cursor: string,
): Promise<BridgeCommand | 'busy' | undefined> {
  const command = await readCommand(deps.table, tenantId, commandId);
  const claim = deps.clock.newId();
  const kept =
    command?.cursor === cursor ? await keepCommand(deps, tenantId, command, { renews: false, claim }) : 'unwanted';
  if (command && kept === 'kept') return commandView(deps, command, claim);
  if (kept === 'busy') return 'busy';
  await deps.table.write({ op: 'delete', key: { pk: queuePk(tenantId), sk: cursor } });
  return undefined;
}

/** Gives a bridge the command for the next 20 s, with the listing that it is about, if a state waits for its answer. */
async function keepCommand(
  deps: PublishingDeps,
  tenantId: TenantId,
  command: CommandRecord,
  by: { renews: boolean; claim?: string | undefined },
): Promise<'kept' | 'busy' | 'unwanted'> {
  const { command_id, state, token, attempt, sent_at } = command;
  if (state !== 'open' || token === undefined) return 'unwanted';
  const listing = listingOf(tenantId, command);
  if (!(await claimListing(deps, listing, command_id, by))) return 'busy';
  if (!(await deps.workflows.heartbeat({ token }))) {
    await releaseListing(deps, listing, command_id);
    return 'unwanted';
  }
  const now = deps.clock.now();
  if (now.getTime() - Date.parse(sent_at) >= HEARD_MS) {
    const key = commandKey(tenantId, command_id);
    await deps.table.write({ op: 'update', key, if: { state, attempt }, set: { sent_at: now.toISOString() } });
  }
  return 'kept';
}

const listingOf = (tenantId: TenantId, { account_id, product_id }: CommandRecord): Listing => ({
  tenantId,
  accountId: account_id,
  productId: product_id,
});

async function commandView({ objects }: PublishingDeps, command: CommandRecord, claim: string): Promise<BridgeCommand> {
  const { command_id, account_id, product_id, cursor, created_at, type, payload, image } = command;
  const common = { id: command_id, account_id, product_id, cursor, claim, created_at, type };
  if (!image) return BridgeCommand.parse({ ...common, ...payload });
  const { name, content_type, size_bytes, checksum_crc64nvme, object_key: key } = image;
  const { url } = await objects.signGet({ key, fileName: name, expiresInSeconds: DEFAULT_URL_SECONDS });
  const file = { name, content_type, size_bytes, checksum_crc64nvme, url };
  return BridgeCommand.parse({ ...common, image: { ...payload, ...file } });
}

/** Whether its bridge is to go on: somebody still waits for the answer, and no other bridge has taken over. */
export async function heartbeatCommand(
  deps: PublishingDeps,
  tenantId: TenantId,
  commandId: CommandId,
  claim?: string,
): Promise<boolean> {
  const command = await getCommand(deps.table, tenantId, commandId);
  return (await keepCommand(deps, tenantId, command, { renews: true, claim })) === 'kept';
}

export async function answerCommand(
  deps: PublishingDeps,
  tenantId: TenantId,
  commandId: CommandId,
  answer: BridgeAnswer,
): Promise<void> {
  const { type } = await getCommand(deps.table, tenantId, commandId);
  const outcome = parseAnswer(type, answer);
  // The commit point: from here on the task goes on with it, whoever wakes it.
  const written = await deps.table.write({
    op: 'update',
    key: commandKey(tenantId, commandId),
    if: { state: 'open' },
    set: outcome,
  });
  // The first answer counts. A repeat wakes whom the first may have failed to.
  const command = asCommand(written.item as Item);
  const { token, cursor } = command;
  await releaseListing(deps, listingOf(tenantId, command), commandId);
  if (token !== undefined) await deps.workflows.answer({ token, output: {} });
  if (cursor !== undefined) await deps.table.write({ op: 'delete', key: { pk: queuePk(tenantId), sk: cursor } });
}

function parseAnswer(type: BridgeCommandType, { result, error }: BridgeAnswer): Record<string, Value> {
  if ((result === undefined) === (error === undefined))
    throw validationError([
      { field: 'result', problem: 'must be given without an error, or an error without a result' },
    ]);
  if (error) return { state: 'failed', error };
  const parsed = BRIDGE_RESULTS[type].safeParse(result);
  if (!parsed.success)
    throw validationError(
      problemsOf(parsed.error, '').map(({ field, problem }) => ({ field: `result.${field}`, problem })),
    );
  return { state: 'done', result: parsed.data };
}

/** `CommandNotFoundError` for another tenant's command as for an unknown one. */
async function getCommand(table: Table, tenantId: TenantId, commandId: CommandId): Promise<CommandRecord> {
  const command = await readCommand(table, tenantId, commandId);
  if (!command) throw new DomainError('CommandNotFoundError', `command ${commandId} does not exist`);
  return command;
}

async function readCommand(table: Table, tenantId: TenantId, commandId: CommandId): Promise<CommandRecord | undefined> {
  const item = await table.get(commandKey(tenantId, commandId));
  return item && asCommand(item);
}
