import type { Api } from '../api.ts';
import type { ApiKey, CreatedKey, CreateKey, ListKeys, Page } from '../types.ts';

/** API keys of a tenant. They need a credential with `keys:write`, or the root secret, which names the tenant. */
export class Keys {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** `secret` is told this once. Not repeated after a failure: a key whose secret nobody knows might stay behind. */
  create(key: CreateKey): Promise<CreatedKey> {
    return this.#api.call('createKey', { body: key }, { retrySeconds: 0 });
  }

  list(query: ListKeys = {}): Promise<Page<ApiKey>> {
    return this.#api.call('listKeys', { query });
  }

  /** The key stops working within 60 seconds; `KeyNotFoundError`. */
  async revoke(keyId: string, query: { tenant_id?: string } = {}): Promise<void> {
    await this.#api.call('revokeKey', { params: { key_id: keyId }, query }, { doneCode: 'KeyNotFoundError' });
  }
}
