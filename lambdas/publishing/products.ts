import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { type CreateProduct, MarketplaceAccountId, type Product, ProductId } from '../../contract/publishing.ts';
import type { Item, Table, Write } from '../../platform/ports/table.ts';
import { findRequest, nextTry } from '../runtime/idempotency.ts';
import { validationError } from '../runtime/validation.ts';
import type { PublishingDeps } from './deps.ts';
import { getMarketplaceAccount } from './marketplace-accounts.ts';
import { asProduct, productKey, productListPk } from './records.ts';

interface CreateProductInput {
  readonly tenantId: TenantId;
  readonly body: CreateProduct;
  readonly idempotencyKey?: string | undefined;
}

/** Answers with the product, and whether this call created it: a repeat under the same idempotency key doesn't. */
export async function createProduct(
  deps: PublishingDeps,
  { tenantId, body, idempotencyKey }: CreateProductInput,
  tries = 1,
): Promise<{ product: Product; created: boolean }> {
  const request =
    idempotencyKey === undefined
      ? undefined
      : await findRequest(deps, { tenantId, key: idempotencyKey, body, idField: 'product_id' });
  const earlier = request?.id ? await deps.table.get(productKey(tenantId, request.id)) : undefined;
  if (earlier) return { product: asProduct(earlier), created: false };

  for (const [index, fileId] of body.image_file_ids.entries()) {
    if (await deps.findFile(tenantId, fileId)) continue;
    const field = `image_file_ids[${index}]`;
    throw new DomainError('FileNotFoundError', `${field}: file ${fileId} does not exist; upload it first`, { field });
  }
  const product: Product = {
    ...body,
    id: ProductId.parse(`prod_${deps.clock.newId()}`),
    created_at: deps.clock.now().toISOString(),
  };
  const item = {
    ...productKey(tenantId, product.id),
    g1pk: productListPk(tenantId),
    g1sk: product.id,
    ...product,
  } as unknown as Item;
  const writes: Write[] = [{ op: 'put', item, unlessExists: true }];
  if (request) writes.push(request.claim(product.id));
  const written = await deps.table.transact(writes);
  // Another request with the same key came first: the second look finds its product.
  if (!written.ok) return createProduct(deps, { tenantId, body, idempotencyKey }, nextTry(tries));
  return { product, created: true };
}

/** `ProductNotFoundError` for another tenant's product as for an unknown one. */
export async function getProduct(
  { table }: { table: Table },
  tenantId: TenantId,
  productId: ProductId,
): Promise<Product> {
  const item = await table.get(productKey(tenantId, productId));
  if (!item) throw new DomainError('ProductNotFoundError', `product ${productId} does not exist`);
  return asProduct(item);
}

export async function deleteProduct(
  { table }: PublishingDeps,
  tenantId: TenantId,
  productId: ProductId,
): Promise<void> {
  const deleted = await table.write({
    op: 'delete',
    key: productKey(tenantId, productId),
    if: { id: productId },
  });
  if (!deleted.ok) throw new DomainError('ProductNotFoundError', `product ${productId} does not exist`);
}

/** For the jobs context: the input of a job of publishing, with what it is about as it is now. */
export async function completePublishingInput(
  { table }: { table: Table },
  tenantId: TenantId,
  input: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const account = await getMarketplaceAccount({ table }, tenantId, MarketplaceAccountId.parse(input.account_id));
  const product = await getProduct({ table }, tenantId, ProductId.parse(input.product_id));
  const problem = (field: string, text: string) => validationError([{ field: `input.${field}`, problem: text }]);
  if (input.marketplace !== undefined && input.marketplace !== account.marketplace)
    throw problem('marketplace', `must be ${account.marketplace}, as the account is`);
  if (input.image_file_ids !== undefined)
    throw problem('image_file_ids', "must be left out: the product's images are used");
  return { ...input, marketplace: account.marketplace, image_file_ids: product.image_file_ids };
}
