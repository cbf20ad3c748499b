import * as z from 'zod/mini';
import { name, schedules } from '#context';
import { openAwsPlatform } from './aws-platform.ts';
import { readConfig } from './config.ts';

const { SCHEDULE: schedule } = readConfig({ SCHEDULE: z.string() });
const platform = openAwsPlatform(`${name}-${schedule}`);
const run = await schedules[schedule]?.(platform);
if (!run) throw new Error(`lambdas/${name}/context.ts has no schedule ${schedule}`);

export async function handler(): Promise<void> {
  platform.log.info('scheduled run done', await run?.());
}
