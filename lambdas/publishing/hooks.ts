import { MarketplaceSettings } from '../../contract/publishing.ts';
import type { ContextHooks } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import type { PublishingServices } from './deps.ts';
import { completePublishingInput } from './products.ts';

export function open(platform: Platform): ContextHooks {
  const openTable = () => platform.table('publishing');
  return {
    completeInput: async (tenantId, input) => completePublishingInput({ table: await openTable() }, tenantId, input),

    async services(): Promise<PublishingServices> {
      const { marketplaces } = platform.settings({ marketplaces: MarketplaceSettings });
      return { table: await openTable(), secrets: await platform.secrets(), clock: platform.clock, marketplaces };
    },
  };
}
