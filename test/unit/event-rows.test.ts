import { describe, expect, test } from 'vitest';
import type { JobId, TenantId, UploadId } from '../../contract/common.ts';
import { LoggedJobEvent } from '../../contract/events/jobs.ts';
import { LoggedUploadEvent } from '../../contract/events/uploads.ts';
import { jobKey } from '../../lambdas/jobs/records.ts';
import { addedEvent, eventItem, loggedEvent } from '../../lambdas/runtime/event-rows.ts';
import { uploadKey } from '../../lambdas/uploads/records.ts';

const tenant = 'acme' as TenantId;
const job = 'job_01J00000000000000000000000' as JobId;
const upload = 'upl_01J00000000000000000000000' as UploadId;
const time = '2026-01-01T00:00:00.000Z';
const cursor = '0000000000000003';
const jobPk = jobKey(tenant, job).pk;
const uploadPk = uploadKey(tenant, upload).pk;

describe('a row of the log', () => {
  const event = LoggedJobEvent.parse({
    id: `${job}-1-failed`,
    type: 'job.failed',
    time,
    tenant_id: tenant,
    data: { job_id: job, workflow: 'line', state: 'failed', attempt: 1, error: { code: 'X', message: 'x' } },
    cursor,
  });
  const { cursor: _, ...bare } = event;
  const row = eventItem(jobPk, bare, { cursor, follows: '0000000000000002', now: new Date(time) });

  test('is the event, and read again with its cursor beside it', () => {
    expect(row).toMatchObject({ ...bare, sk: `EVENT#${cursor}`, follows: '0000000000000002' });
    expect(loggedEvent(row)).toEqual(event);
  });

  test('is a new event when it is added, and none when it is written again, deleted or something else', () => {
    const change = { seq: '1', key: { pk: row.pk, sk: row.sk } };
    expect(addedEvent({ ...change, after: row })).toEqual({ event: bare, cursor, follows: '0000000000000002' });
    expect(addedEvent({ ...change, before: row, after: row })).toBeUndefined();
    expect(addedEvent({ ...change, before: row })).toBeUndefined();
    expect(addedEvent({ ...change, key: { pk: row.pk, sk: 'JOB' }, after: row })).toBeUndefined();
  });
});

describe('a row of the log of data version 1', () => {
  test("of a job's state is the event of that state", () => {
    const old = {
      type: 'job.state_changed',
      time,
      state: 'cancelled',
      previous: 'cancelling',
      attempt: 2,
      batch_id: 'batch_01J00000000000000000000000',
      ttl: 1,
      follows: '01',
    };
    const event = loggedEvent({ pk: jobPk, sk: `EVENT#${cursor}`, ...old });
    expect(LoggedJobEvent.parse(event)).toEqual(event);
    expect(event).toEqual({
      id: `${job}-2-cancelled`,
      type: 'job.cancelled',
      time,
      tenant_id: tenant,
      data: {
        job_id: job,
        workflow: '',
        state: 'cancelled',
        previous: 'cancelling',
        attempt: 2,
        batch_id: 'batch_01J00000000000000000000000',
      },
      cursor,
    });
  });

  test("of a job's progress is that progress", () => {
    const progress = { percent: 50, phase: 'work', completed_tasks: 1, total_tasks: 2 };
    const event = loggedEvent({ pk: jobPk, sk: `EVENT#${cursor}`, type: 'job.progress', time, progress, ttl: 1 });
    expect(LoggedJobEvent.parse(event)).toEqual(event);
    expect(event).toMatchObject({ id: `${job}-${cursor}`, type: 'job.progress', data: { job_id: job, progress } });
  });

  test.each([
    ['open', 'upload.opened', '1'],
    ['completed', 'upload.completed', '3'],
  ])('of an upload that is %s is the event %s', (state, type, revision) => {
    const sk = `EVENT#${revision.padStart(8, '0')}`;
    const event = loggedEvent({ pk: uploadPk, sk, type: 'upload.state_changed', time, state, ttl: 1 });
    expect(LoggedUploadEvent.parse(event)).toEqual(event);
    const id = `${upload}-${revision}-${type.slice('upload.'.length)}`;
    expect(event).toMatchObject({ id, type, data: { upload_id: upload, state } });
  });
});
