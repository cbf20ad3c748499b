import type { Handlers } from '../runtime/api.ts';
import { listNewest } from '../runtime/listing.ts';
import { answerCommand, heartbeatCommand, receiveCommands } from './bridge.ts';
import type { PublishingDeps } from './deps.ts';
import {
  createMarketplaceAccount,
  deleteMarketplaceAccount,
  getMarketplaceAccount,
  renewMarketplaceCredentials,
} from './marketplace-accounts.ts';
import { createProduct, deleteProduct, getProduct } from './products.ts';
import { accountListPk, asAccount, asProduct, productListPk } from './records.ts';

export function createPublishingHandlers(deps: PublishingDeps): Handlers<'publishing'> {
  return {
    async createProduct({ caller, headers, body }) {
      const { tenantId } = caller;
      const idempotencyKey = headers['idempotency-key'];
      const { product, created } = await createProduct(deps, { tenantId, body, idempotencyKey });
      return { status: created ? 201 : 200, body: product };
    },

    async listProducts({ caller, query }) {
      const list = { pk: productListPk(caller.tenantId), asked: query, parse: asProduct };
      const { items, next } = await listNewest(deps.table, list);
      return { status: 200, body: { items, ...next } };
    },

    async getProduct({ caller, params }) {
      return { status: 200, body: await getProduct(deps, caller.tenantId, params.product_id) };
    },

    async deleteProduct({ caller, params }) {
      await deleteProduct(deps, caller.tenantId, params.product_id);
      return { status: 204 };
    },

    async createMarketplaceAccount({ caller, body }) {
      return { status: 201, body: await createMarketplaceAccount(deps, caller.tenantId, body) };
    },

    async listMarketplaceAccounts({ caller, query }) {
      const list = { pk: accountListPk(caller.tenantId), asked: query, parse: asAccount };
      const { items, next } = await listNewest(deps.table, list);
      return { status: 200, body: { items, ...next } };
    },

    async getMarketplaceAccount({ caller, params }) {
      return { status: 200, body: await getMarketplaceAccount(deps, caller.tenantId, params.account_id) };
    },

    async renewMarketplaceCredentials({ caller, params, body }) {
      await renewMarketplaceCredentials(deps, caller.tenantId, params.account_id, body.credentials);
      return { status: 204 };
    },

    async deleteMarketplaceAccount({ caller, params }) {
      await deleteMarketplaceAccount(deps, caller.tenantId, params.account_id);
      return { status: 204 };
    },

    async receiveCommands({ caller, body, signal }) {
      return { status: 200, body: await receiveCommands(deps, caller.tenantId, body, signal) };
    },

    async heartbeatCommand({ caller, params, query }) {
      const wanted = await heartbeatCommand(deps, caller.tenantId, params.command_id, query.claim);
      return { status: 200, body: { wanted } };
    },

    async answerCommand({ caller, params, body }) {
      await answerCommand(deps, caller.tenantId, params.command_id, body);
      return { status: 204 };
    },
  };
}
