import type { Event } from './events.ts';

/** The ids of what an event is about, under which its watchers subscribe; the nearest first, whose log has the event. */
export function subjectsOf({ data }: Event): readonly string[] {
  if ('upload_id' in data) return [data.upload_id];
  if (!('job_id' in data)) return [data.batch_id];
  return data.batch_id === undefined ? [data.job_id] : [data.job_id, data.batch_id];
}
