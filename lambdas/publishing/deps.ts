import type { TenantId } from '../../contract/common.ts';
import type { FileRef } from '../../contract/jobs.ts';
import type { MarketplaceSettings } from '../../contract/publishing.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Secrets } from '../../platform/ports/secrets.ts';
import type { Table } from '../../platform/ports/table.ts';
import type { Workflows } from '../../platform/ports/workflows.ts';

/** What the API works with. */
export interface PublishingDeps {
  readonly table: Table;
  readonly secrets: Secrets;
  readonly workflows: Pick<Workflows, 'answer' | 'heartbeat'>;
  readonly objects: Pick<ObjectStore, 'signGet'>;
  readonly clock: Clock;
  findFile(tenantId: TenantId, fileId: string): Promise<FileRef | undefined>;
}

/** What the tasks work with beside their context. */
export interface PublishingServices {
  readonly table: Table;
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly marketplaces: MarketplaceSettings;
}
