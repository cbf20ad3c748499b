import type { Event } from './events.ts';

/** Fields of `data` that name what an event is about, the nearest first. */
interface Subjects {
  readonly upload_id?: string;
  readonly job_id?: string;
  readonly batch_id?: string;
}

/** The ids of what an event is about, under which its watchers subscribe; the nearest first, whose log has the event. */
export function subjectsOf({ data }: Event): readonly string[] {
  const { upload_id, job_id, batch_id } = data as Subjects;
  return [upload_id, job_id, batch_id].filter((id) => id !== undefined);
}
