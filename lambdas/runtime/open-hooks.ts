import type { ContextHooks } from './context.ts';
import type { Platform } from './platform.ts';

/** Opens what a context does for jobs. Known by its name from data alone, it is loaded when it is asked for. */
export async function openHooks(context: string, platform: Platform): Promise<ContextHooks> {
  // The bundler puts the hooks of all contexts beside the code that has this.
  const { open } = (await import(`../${context}/hooks.ts`)) as { open: (platform: Platform) => ContextHooks };
  return open(platform);
}
