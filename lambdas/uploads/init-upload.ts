import type { TenantId, UploadId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { MAX_FILE_SIZE_BYTES, MAX_PARTS, UPLOAD_LIFETIME_SECONDS } from '../../contract/limits.ts';
import { choosePartSize, countParts } from '../../contract/part-plan.ts';
import type { InitUpload, PartToSign, SignedPart, UploadWithParts } from '../../contract/uploads.ts';
import type { Item, Write } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import { findRequest, nextTry } from '../runtime/idempotency.ts';
import { validationError } from '../runtime/validation.ts';
import type { UploadsApiDeps, UploadsDeps } from './deps.ts';
import { type Arrived, readArrivedOrExpire } from './find-upload.ts';
import { progressOfArrived } from './get-upload.ts';
import { checkPartsToSign, PARTS_FIELD, type Plan, partCount, signPartUrls } from './parts.ts';
import {
  asUpload,
  dueIndex,
  fingerprintKey,
  multipartOf,
  objectKeyOf,
  readUpload,
  type UploadRecord,
  uploadKey,
  uploadListPk,
} from './records.ts';
import { beginSession, checkQuotas, readUsage } from './usage.ts';
import { uploadWithProgress } from './views.ts';

/** Parts of a `whole` session that are signed without being asked for. */
const FIRST_PARTS = 16;

interface InitUploadInput {
  readonly tenantId: TenantId;
  readonly body: InitUpload;
  readonly idempotencyKey?: string | undefined;
}

interface Initiated {
  readonly created: boolean;
  readonly upload: UploadWithParts;
  readonly parts: SignedPart[];
}

/** Requests of a tenant make each other try again by what they use of its quotas, too. */
const MAX_TRIES = 20;

/** Opens a session, or answers with the one that the same request, or with `resume` the same fingerprint, has opened. */
export async function initUpload(deps: UploadsApiDeps, input: InitUploadInput, tries = 1): Promise<Initiated> {
  const tryAgain = () => initUpload(deps, input, nextTry(tries, MAX_TRIES));
  const { tenantId, body, idempotencyKey } = input;
  const plan = planParts(body);
  const request =
    idempotencyKey === undefined
      ? undefined
      : await findRequest(deps, { tenantId, key: idempotencyKey, body, idField: 'upload_id' });
  const earlier = request?.id && (await readUpload(deps.table, tenantId, request.id));
  if (earlier) return answer(deps, await readArrivedOrExpire(deps, earlier), input, plan, false);

  const print = body.fingerprint === undefined ? undefined : await findPrint(deps, tenantId, body.fingerprint);
  if (body.resume && print?.upload) {
    const arrived = await readArrivedOrExpire(deps, print.upload);
    // It may have ended just now, or turn out to: then another takes its place.
    if (arrived.upload.state !== 'open') return tryAgain();
    const claimed = !request || (await deps.table.write(request.claim(arrived.upload.upload_id))).ok;
    return claimed ? answer(deps, arrived, input, plan, false) : tryAgain();
  }

  const usage = await readUsage(deps, tenantId);
  checkQuotas(usage, plan.size_bytes);
  const uploadId = `upl_${deps.clock.newId()}` as UploadId;
  const rows = [beginSession(usage, plan.size_bytes)];
  if (request) rows.push(request.claim(uploadId));
  if (print) rows.push(print.claim(uploadId));
  const upload = await createSession(deps, { tenantId, body, uploadId, plan, rows });
  // Another request came first: the second look finds its session, if it had the same key or fingerprint, and what the
  // quotas have left.
  if (!upload) return tryAgain();
  return answer(deps, { upload, parts: [] }, input, plan, true);
}

/** Throws unless the file can be uploaded, in parts of the size asked for, and what is to be signed are such parts. */
function planParts({ size_bytes: size, part_size_bytes: asked, fingerprint, integrity, parts }: InitUpload): Plan {
  if (size === 0) throw new DomainError('EmptyFileError', 'the file is empty; a file needs at least one byte');
  if (size > MAX_FILE_SIZE_BYTES) {
    throw new DomainError(
      'FileTooLargeError',
      `the file has ${size} bytes; at most ${MAX_FILE_SIZE_BYTES} are allowed`,
      {
        max_size_bytes: MAX_FILE_SIZE_BYTES,
      },
    );
  }
  if (fingerprint && Number(fingerprint.split('-')[0]) !== size) {
    throw validationError([{ field: 'fingerprint', problem: 'must be the fingerprint of a file of this size' }]);
  }
  const partSize = asked ?? choosePartSize(size);
  const count = countParts(size, partSize);
  if (count > MAX_PARTS) {
    const problem = `must be larger: the file would have ${count} parts, and at most ${MAX_PARTS} are allowed`;
    throw validationError([{ field: 'part_size_bytes', problem }]);
  }
  const plan = { size_bytes: size, part_size_bytes: partSize, integrity };
  checkPartsToSign(plan, parts ?? [], PARTS_FIELD);
  return plan;
}

/** The open session of a fingerprint, and how to make the fingerprint another one's. */
async function findPrint(
  { table, clock }: UploadsDeps,
  tenantId: TenantId,
  fingerprint: string,
): Promise<{ upload: UploadRecord | undefined; claim: (uploadId: UploadId) => Write }> {
  const row = fingerprintKey(tenantId, fingerprint);
  const found = await table.get(row);
  const upload = found && (await readUpload(table, tenantId, String(found.upload_id)));
  const usable = upload?.state === 'open' && Date.parse(upload.expires_at) > clock.now().getTime();
  const ttl = ttlAfter(clock.now(), UPLOAD_LIFETIME_SECONDS);
  const claim = (uploadId: UploadId): Write => ({
    op: 'put',
    item: { ...row, upload_id: uploadId, ttl },
    ...(found ? { if: { upload_id: String(found.upload_id) } } : { unlessExists: true }),
  });
  return { upload: usable ? upload : undefined, claim };
}

/** Undefined if one of `rows` could not be written. */
async function createSession(
  { table, objects, clock }: UploadsDeps,
  input: { tenantId: TenantId; body: InitUpload; uploadId: UploadId; plan: Plan; rows: readonly Write[] },
): Promise<UploadRecord | undefined> {
  const { tenantId, body, uploadId, plan, rows } = input;
  const objectKey = objectKeyOf(tenantId, uploadId);
  // Before the session, for a session without it is of no use; without a session the sweep finds it.
  const { multipartId } = await objects.createMultipart({
    key: objectKey,
    contentType: body.content_type,
    checksums: body.integrity === 'parts',
  });
  const now = clock.now();
  const expiresAt = new Date(now.getTime() + UPLOAD_LIFETIME_SECONDS * 1_000);
  const item = {
    ...uploadKey(tenantId, uploadId),
    g1pk: uploadListPk(tenantId),
    g1sk: uploadId,
    ...dueIndex(uploadId, expiresAt),
    tenant_id: tenantId,
    upload_id: uploadId,
    state: 'open',
    name: body.name,
    content_type: body.content_type,
    ...plan,
    ...(body.fingerprint === undefined ? {} : { fingerprint: body.fingerprint }),
    object_key: objectKey,
    multipart_id: multipartId,
    created_at: now.toISOString(),
    expires_at: expiresAt.toISOString(),
    completions: 0,
  } satisfies Item;
  const upload = asUpload(item);
  const result = await table.transact([{ op: 'put', item, unlessExists: true }, ...rows]);
  if (result.ok) return upload;
  await objects.abortMultipart(multipartOf(upload));
  return undefined;
}

async function answer(
  deps: UploadsDeps,
  arrived: Arrived,
  { body }: InitUploadInput,
  plan: Plan,
  created: boolean,
): Promise<Initiated> {
  const { upload } = arrived;
  const parts = await signPartUrls(deps, upload, partsToSign(arrived, body, plan), body.expires_in_seconds);
  return { created, upload: uploadWithProgress(upload, progressOfArrived(arrived)), parts };
}

/** What was asked for, if the session has such parts; else, where no checksums are needed, the first that lack. */
function partsToSign({ upload, parts }: Arrived, body: InitUpload, plan: Plan): readonly PartToSign[] {
  if (upload.state !== 'open' || typeof parts === 'string') return [];
  if (body.parts) {
    const samePlan = upload.integrity === plan.integrity && upload.part_size_bytes === plan.part_size_bytes;
    return samePlan ? body.parts : [];
  }
  if (upload.integrity === 'parts') return [];
  const there = new Set(parts.map(({ partNumber }) => partNumber));
  const numbers: number[] = [];
  for (let partNumber = 1; partNumber <= partCount(upload) && numbers.length < FIRST_PARTS; partNumber += 1) {
    if (!there.has(partNumber)) numbers.push(partNumber);
  }
  return numbers.map((part_number) => ({ part_number }));
}
