import type { Table } from '../../platform/ports/table.ts';
import { readCheckpoint, storeCheckpoint } from './checkpoints.ts';
import { cancelled, type Guard, type TaskDeps } from './guard-run.ts';
import { type JobCheckpointRecord, type JobRecord, jobCheckpointKey, jobKey } from './records.ts';
import type { JobCheckpoint, TaskContext } from './task-api.ts';
import { transactOnJobs } from './upgrade-row.ts';

type JobCheckpoints = Pick<TaskContext<unknown>, 'saveJobCheckpoint' | 'lastJobCheckpoint'>;

/** The checkpoints of the job that a task runs in, as the job was read when the run began. */
export function openJobCheckpoints(deps: TaskDeps, job: JobRecord, folder: string, guard: Guard): JobCheckpoints {
  const { table, objects, clock } = deps;
  let last = job.checkpoint;
  return {
    async saveJobCheckpoint({ iteration, value, continued }) {
      await guard.check();
      // A new key each time: another runner may be at the same iteration.
      const key = `${folder}/checkpoints/iteration-${iteration}-${clock.newId()}`;
      const next: JobCheckpointRecord = {
        ...(await storeCheckpoint(objects, key, JSON.stringify(value))),
        iteration,
        created_at: clock.now().toISOString(),
        continued: JSON.stringify(continued),
      };
      await commit({ table }, job, next);
      last = next;
    },

    async lastJobCheckpoint(): Promise<JobCheckpoint | undefined> {
      if (!last) return undefined;
      const value = await readCheckpoint(deps, last);
      return value === undefined ? undefined : { iteration: last.iteration, value };
    },
  };
}

/** Lists it and makes it the last one, as long as the job runs in the same attempt and run. */
async function commit({ table }: { table: Table }, job: JobRecord, checkpoint: JobCheckpointRecord): Promise<void> {
  const { tenant_id, job_id, attempt, run } = job;
  const result = await transactOnJobs(table, [
    { op: 'put', item: { ...jobCheckpointKey(tenant_id, job_id, checkpoint.iteration), ...checkpoint } },
    {
      op: 'update',
      key: jobKey(tenant_id, job_id),
      if: { state: 'running', attempt, run },
      set: { checkpoint },
    },
  ]);
  if (!result.ok) throw cancelled();
}

/** Seconds since a running job's last checkpoint, or since it started. */
export function checkpointAge({ created_at, started_at = created_at, checkpoint }: JobRecord, now: Date): number {
  const last = checkpoint?.created_at ?? started_at;
  return ageInSeconds(last > started_at ? last : started_at, now);
}

export function ageInSeconds(since: string, now: Date): number {
  return Math.max(0, Math.floor((now.getTime() - Date.parse(since)) / 1_000));
}
