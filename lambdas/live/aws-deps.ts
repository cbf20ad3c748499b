import { systemClock } from '../../platform/system-clock.ts';
import { openPush, openTable } from '../runtime/aws-composition.ts';
import type { Log } from '../runtime/log.ts';
import type { LiveDeps } from './deps.ts';

export function openLive(log: Log): LiveDeps {
  return { connections: openTable('live'), push: openPush(), clock: systemClock, log };
}
