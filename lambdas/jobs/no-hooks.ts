import type { ContextHooks } from '../runtime/context.ts';

/** Stands for the hooks of workflows without a context. */
export function open(): ContextHooks {
  return {};
}
