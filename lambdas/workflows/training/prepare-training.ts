import { training } from '../../../contract/workflows/training.ts';
import { defineTask } from '../../jobs/public.ts';
import { iteration } from './iterations.ts';

export const task = defineTask(training, 'prepare', async (ctx) => iteration(0, ctx.input));
