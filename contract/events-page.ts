import * as z from 'zod/mini';
import { isProgress } from './event.ts';
import { EVENTS } from './events.ts';

const INTRO = `# Events

\`npm run openapi\` writes this page from [contract/events](../contract/events).

An event is the same wherever it arrives:

\`\`\`json
{
  "id": "job_01JD3Z8J3V8K4N5Q6R7S8T9V0W-1-completed",
  "type": "job.completed",
  "time": "2026-01-01T00:00:00.000Z",
  "tenant_id": "acme",
  "data": { "job_id": "job_01JD3Z8J3V8K4N5Q6R7S8T9V0W", "workflow": "inference", "state": "completed", "previous": "running", "attempt": 1 }
}
\`\`\`

- \`id\` follows from what happened. An event that arrives again has the same \`id\`: drop it. It is also the \`webhook-id\` of a message.
- Events of one job, upload or batch have a cursor each, beside these fields, in listings, long polls and WebSocket messages
  ([live.md](live.md)).
- On AWS, rules on the event bus match \`source: millrace\`, \`detail-type\` (the event's \`type\`) and \`detail\` (the event).
- Delivery is at least once. Within one log, cursors give the order; across the bus, queues and webhooks there is none.
- New types and new fields of \`data\` may come at any time: ignore those that you do not know.
`;

/** The page `docs/events.md`. */
export function eventsPage(): string {
  const groups = Map.groupBy(EVENTS, ({ shape }) => String(shape.type.def.values[0]).split('.')[0] ?? '');
  return [INTRO, ...Array.from(groups, ([name, events]) => section(name, events))].join('\n');
}

function section(name: string, events: typeof EVENTS): string {
  const rows = events.flatMap((event) =>
    event.shape.type.def.values.map((type) => {
      const meaning = z.globalRegistry.get(event)?.description ?? '';
      return `| \`${type}\` | ${meaning} | ${fields(event.shape.data)} | ${reach(type)} |`;
    }),
  );
  return [`## ${name}\n`, '| type | when | data | sent to |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

/** Names of fields; those that may be missing with a question mark. */
function fields(data: (typeof EVENTS)[number]['shape']['data']): string {
  const { properties = {}, required = [] } = z.toJSONSchema(data);
  return Object.keys(properties)
    .map((field) => `\`${field}${required.includes(field) ? '' : '?'}\``)
    .join(' ');
}

function reach(type: string): string {
  return isProgress(type) ? 'log, WebSocket, long poll' : 'log, WebSocket, long poll, bus, queues, webhooks';
}
