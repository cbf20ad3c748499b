import * as z from 'zod/mini';
import { isProgress } from './event.ts';
import { EVENTS } from './events.ts';

const INTRO = `# Events

\`npm run openapi\` writes this page from [contract/events](../contract/events).

An event has the same form and content wherever it arrives:

\`\`\`json
{
  "id": "job_01JD3Z8J3V8K4N5Q6R7S8T9V0W-1-completed",
  "type": "job.completed",
  "time": "2026-01-01T00:00:00.000Z",
  "tenant_id": "acme",
  "data": { "job_id": "job_01JD3Z8J3V8K4N5Q6R7S8T9V0W", "workflow": "inference", "state": "completed", "previous": "running", "attempt": 1 }
}
\`\`\`

- \`id\` is derived from what happened. An event that is delivered again has the same \`id\`; drop it. A webhook message has it as its
  \`webhook-id\`.
- In listings, long polls and WebSocket messages, an event has its \`cursor\` next to these fields ([live.md](live.md)).
- On AWS, rules on the event bus match \`source: millrace\`, \`detail-type\` (the event's \`type\`) and \`detail\` (the event).
- Delivery is at least once. Cursors order the events of one job, upload or batch. The bus, queues and webhooks guarantee no order.
- New types and new fields of \`data\` may be added at any time. Ignore those that you do not know.
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
