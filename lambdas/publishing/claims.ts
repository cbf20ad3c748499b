import { DomainError } from '../../contract/errors.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import type { PublishingServices } from './deps.ts';
import { type Listing, listingKey } from './records.ts';

/** A claim that is not renewed for this long goes to whoever asks for it next. */
const CLAIM_MS = 20_000;
const RENEW_MS = 5_000;
/** The marketplace has said no: nothing of the job is on its way there. */
const REFUSALS: ReadonlySet<unknown> = new Set(['ListingRefusedError', 'CredentialsRefusedError']);

type Services = Pick<PublishingServices, 'table' | 'clock'>;

/**
 * Makes the holder, a job or a command that a bridge has, the only one to work on the listing for the next 20 s. False
 * while another has it; and, unless it `renews`, while the holder has it itself. `claim` tells one bridge's taking of a
 * command from another's.
 */
export async function claimListing(
  { table, clock }: Services,
  listing: Listing,
  holder: string,
  { renews, claim }: { renews: boolean; claim?: string | undefined },
): Promise<boolean> {
  const key = listingKey(listing);
  const now = clock.now().getTime();
  const until = now + CLAIM_MS;
  const item = { ...key, holder, until, ttl: ttlAfter(until), ...(claim !== undefined && { claim }) };
  const found = (await table.get(key)) as { holder: string; until: number; claim?: string } | undefined;
  if (!found) return (await table.write({ op: 'put', item, unlessExists: true })).ok;
  const { until: end, ...before } = found;
  const isOwn = renews && before.holder === holder && (claim === undefined || before.claim === claim);
  if (isOwn) {
    const change = { until, ttl: item.ttl };
    const held = { holder, ...(before.claim !== undefined && { claim: before.claim }) };
    return (await table.write({ op: 'update', key, if: held, set: change })).ok;
  }
  return end <= now && (await table.write({ op: 'put', item, if: { holder: before.holder, until: end } })).ok;
}

export async function releaseListing({ table }: Services, listing: Listing, holder: string): Promise<void> {
  await table.write({ op: 'delete', key: listingKey(listing), if: { holder } });
}

/**
 * Does a step of a job as the only one that works on the listing, which stays the job's for its next steps.
 * `TaskBusyError` while another has it: the state machine tries again.
 */
export async function holdListing<T>(
  services: Services,
  listing: Listing,
  holder: string,
  work: () => Promise<T>,
): Promise<T> {
  const claim = () => claimListing(services, listing, holder, { renews: true });
  if (!(await claim())) {
    const message = `another job is publishing ${listing.productId} on ${listing.accountId}`;
    throw new DomainError('TaskBusyError', message, { retry_after_seconds: CLAIM_MS / 1_000 });
  }
  const renewals = setInterval(() => void claim().catch(() => undefined), RENEW_MS);
  try {
    return await work();
  } catch (error) {
    if (error instanceof DomainError && REFUSALS.has(error.code)) await releaseListing(services, listing, holder);
    throw error;
  } finally {
    clearInterval(renewals);
  }
}
