import { publishing } from '../../../contract/workflows/publishing.ts';
import type { WaitDefinition } from '../../jobs/public.ts';
import { queueCommands } from '../bridge.ts';
import { servicesOf } from '../listing-task.ts';

export const task: WaitDefinition = {
  workflow: publishing as unknown as WaitDefinition['workflow'],
  wait: (ctx) => queueCommands(servicesOf(ctx), ctx),
};
