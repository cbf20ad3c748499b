// What `#hooks` is: the `hooks.ts` of the context of the workflow that a bundle is made for.
import type { ContextHooks } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';

export declare function open(platform: Platform): ContextHooks;
