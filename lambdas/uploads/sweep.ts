import type { Orphaned } from '../../contract/uploads.ts';
import { mapAtMost } from '../../platform/ports/map-at-most.ts';
import type { MultipartKey } from '../../platform/ports/object-store.ts';
import type { Item } from '../../platform/ports/table.ts';
import { carryThrough } from './carry-through.ts';
import { cleanUp } from './clean-up.ts';
import type { UploadsDeps } from './deps.ts';
import { purgeFile } from './files.ts';
import { AT_ONCE, findIdle, type IdleUpload, orphaned } from './idle.ts';
import { moveUpload } from './move-upload.ts';
import {
  asFile,
  asUpload,
  DUE_SHARDS,
  dueIndex,
  duePk,
  isDue,
  ORPHANS_KEY,
  parseObjectKey,
  readUpload,
  UPLOAD_SK,
  type UploadRecord,
} from './records.ts';
import { hasEnded, hasFailed } from './transitions.ts';

/** Of each shard in one run; what is left is due at the next. */
const MAX_PER_SHARD = 100;
/** A run takes up nothing new after this long: what it is at may take minutes more, and its function has five. */
const RUN_MS = 120_000;
/** What could not be done is tried again after this long, so that it holds up nothing else. */
const RETRY_MS = 5 * 60_000;

/** Pages of multipart uploads looked at in one run, and how long after a whole search the next begins. */
const ORPHAN_PAGES = 2;
const ORPHANS_EVERY_MS = 3_600_000;
/** Longer than any request between creating a multipart upload and recording its session. */
const ORPHAN_AGE_MS = 3_600_000;
/** What an open session keeps that no part has reached for so long is told as orphaned: it costs until it expires. */
const IDLE_MS = 24 * 3_600_000;

/** How many sessions, files and multipart uploads each kind of work was done for. */
export interface SweepReport {
  expired: number;
  /** Completions that nobody was waiting for any more, whichever way they ended. */
  settled: number;
  cleaned: number;
  deleted: number;
  orphans: number;
  errors: number;
  /** Of all tenants, after each whole search: what open sessions keep that nobody goes on with. */
  orphaned?: Orphaned;
}

/** Does what is due: expires sessions, ends completions that got stuck, deletes what no session or file needs any more. */
export async function sweepUploads(deps: UploadsDeps): Promise<SweepReport> {
  const report: SweepReport = { expired: 0, settled: 0, cleaned: 0, deleted: 0, orphans: 0, errors: 0 };
  const startedMs = deps.clock.now().getTime();
  const isOver = () => deps.clock.now().getTime() - startedMs >= RUN_MS;
  for (let shard = 0; shard < DUE_SHARDS && !isOver(); shard += 1) {
    const page = await deps.table.query({ pk: duePk(shard), index: 'g2', limit: MAX_PER_SHARD });
    for (const indexed of page.items) {
      // They sort by when they are due.
      if (isOver() || !isDue(indexed, deps.clock.now())) break;
      await tryDoing(deps, report, indexed);
    }
  }
  if (!isOver()) await searchMultiparts(deps, report);
  return report;
}

/** One item's trouble is not the others'. */
async function tryDoing(deps: UploadsDeps, report: SweepReport, { pk, sk }: Item): Promise<void> {
  // The index only says where to look.
  const item = await deps.table.get({ pk, sk });
  if (!item || !isDue(item, deps.clock.now())) return;
  try {
    if (sk === UPLOAD_SK) await sweepUpload(deps, report, asUpload(item));
    else {
      await purgeFile(deps, asFile(item));
      report.deleted += 1;
    }
  } catch (error) {
    report.errors += 1;
    deps.log.error('sweep failed', { tenant_id: item.tenant_id, id: item.file_id ?? item.upload_id, error });
    await postpone(deps, item);
  }
}

async function postpone({ table, clock }: UploadsDeps, item: Item): Promise<void> {
  const later = new Date(clock.now().getTime() + RETRY_MS);
  await table.write({
    op: 'update',
    key: { pk: item.pk, sk: item.sk },
    if: { g2sk: String(item.g2sk) },
    set: dueIndex(String(item.sk === UPLOAD_SK ? item.upload_id : item.file_id), later),
  });
}

async function sweepUpload(deps: UploadsDeps, report: SweepReport, upload: UploadRecord): Promise<void> {
  if (upload.state === 'completing') {
    if (await carryThrough(deps, upload)) report.settled += 1;
    return;
  }
  const ended = upload.state === 'open' ? await moveUpload(deps, upload, 'expire') : upload;
  if (!ended || !hasFailed(ended.state)) return;
  if (ended !== upload) report.expired += 1;
  await cleanUp(deps, ended);
  report.cleaned += 1;
}

/** How far a search over all multipart uploads is, and what it has found without activity. */
interface Search {
  readonly cursor?: string;
  /** Epoch milliseconds. */
  readonly next_at?: number;
  readonly sessions?: number;
  readonly bytes?: number;
}

/**
 * Aborts multipart uploads that no session needs: of requests that ended before they recorded one, or of sessions that
 * have ended. Adds up what open sessions keep that nobody goes on with. A search goes over all of them, some pages a run.
 */
async function searchMultiparts(deps: UploadsDeps, report: SweepReport): Promise<void> {
  const { table, objects, clock } = deps;
  const now = clock.now().getTime();
  const search = ((await table.get(ORPHANS_KEY)) ?? {}) as Search;
  if ((search.next_at ?? 0) > now) return;
  let { cursor, sessions = 0, bytes = 0 } = search;
  for (let pages = 0; pages < ORPHAN_PAGES; pages += 1) {
    const page = await objects.listMultiparts({ prefix: 'tenant/', ...(cursor ? { cursor } : {}) });
    const old = page.items.filter(({ createdAt }) => now - createdAt.getTime() >= ORPHAN_AGE_MS);
    const found = await mapAtMost(AT_ONCE, old, (multipart) => lookAtMultipart(deps, report, multipart));
    for (const idle of found) {
      sessions += Number(idle !== undefined);
      bytes += idle?.receivedBytes ?? 0;
    }
    cursor = page.cursor;
    if (!cursor) break;
  }
  if (!cursor) report.orphaned = orphaned(sessions, bytes);
  await table.write({
    op: 'put',
    item: { ...ORPHANS_KEY, ...(cursor ? { cursor, sessions, bytes } : { next_at: now + ORPHANS_EVERY_MS }) },
  });
}

/** Answers what an open session keeps, if it has been idle for long. */
async function lookAtMultipart(
  deps: UploadsDeps,
  report: SweepReport,
  multipart: MultipartKey,
): Promise<IdleUpload | undefined> {
  const ids = parseObjectKey(multipart.key);
  // Not of this context.
  if (!ids) return undefined;
  const upload = await readUpload(deps.table, ids.tenantId, ids.uploadId);
  if (upload?.multipart_id !== multipart.multipartId || hasEnded(upload.state)) {
    await deps.objects.abortMultipart(multipart);
    report.orphans += 1;
    return undefined;
  }
  const before = new Date(deps.clock.now().getTime() - IDLE_MS);
  const mayBeIdle = upload.state === 'open' && Date.parse(upload.created_at) <= before.getTime();
  return mayBeIdle ? findIdle(deps, upload, before) : undefined;
}
