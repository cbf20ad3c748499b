import { MarketplaceSettings } from '../../contract/publishing.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openSecrets, openTable } from '../runtime/aws-composition.ts';
import { jsonText, readConfig } from '../runtime/config.ts';
import type { PublishingServices } from './deps.ts';

/** What the tasks work with, in a Lambda. */
export function openServices(): { publishing: PublishingServices } {
  const { MARKETPLACES: marketplaces } = readConfig({ MARKETPLACES: jsonText(MarketplaceSettings) });
  const table = openTable('publishing');
  return { publishing: { table, secrets: openSecrets(), clock: systemClock, marketplaces } };
}
