import type { Api } from '../api.ts';
import type {
  BridgeAnswer,
  CommandPage,
  CreateMarketplaceAccount,
  CreateProduct,
  Credentials,
  ListMarketplaceAccounts,
  ListProducts,
  MarketplaceAccount,
  Page,
  Product,
  ReceiveCommands,
} from '../types.ts';

/** Products that jobs of the workflow `publishing` publish on marketplaces. */
export class Products {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** `idempotencyKey`: the same again, within 7 days, answers with the same product; a random one when left out. */
  create(
    product: CreateProduct,
    { idempotencyKey = crypto.randomUUID() }: { idempotencyKey?: string } = {},
  ): Promise<Product> {
    return this.#api.call('createProduct', { body: product }, { idempotencyKey });
  }

  list(query: ListProducts = {}): Promise<Page<Product>> {
    return this.#api.call('listProducts', { query });
  }

  /** `ProductNotFoundError`. */
  get(productId: string): Promise<Product> {
    return this.#api.call('getProduct', { params: { product_id: productId } });
  }

  /** Its listings and files stay; `ProductNotFoundError`. */
  async delete(productId: string): Promise<void> {
    const input = { params: { product_id: productId } };
    await this.#api.call('deleteProduct', input, { doneCode: 'ProductNotFoundError' });
  }
}

/** Accounts of marketplaces. Their credentials are never returned. */
export class MarketplaceAccounts {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Not repeated after a failure: a second account might be made. */
  create(account: CreateMarketplaceAccount): Promise<MarketplaceAccount> {
    return this.#api.call('createMarketplaceAccount', { body: account }, { retrySeconds: 0 });
  }

  list(query: ListMarketplaceAccounts = {}): Promise<Page<MarketplaceAccount>> {
    return this.#api.call('listMarketplaceAccounts', { query });
  }

  /** `MarketplaceAccountNotFoundError`. */
  get(accountId: string): Promise<MarketplaceAccount> {
    return this.#api.call('getMarketplaceAccount', { params: { account_id: accountId } });
  }

  async renewCredentials(accountId: string, credentials: Credentials): Promise<void> {
    await this.#api.call('renewMarketplaceCredentials', { params: { account_id: accountId }, body: { credentials } });
  }

  /** Forgets its credentials, too; `MarketplaceAccountNotFoundError`. */
  async delete(accountId: string): Promise<void> {
    const input = { params: { account_id: accountId } };
    await this.#api.call('deleteMarketplaceAccount', input, { doneCode: 'MarketplaceAccountNotFoundError' });
  }
}

/** A bridge outlives a server that is gone for this long. */
const RETRY_SECONDS = 300;

/** For a seller's bridge, which carries out on Vinted what jobs ask for; `millrace bridge` is one. */
export class Bridge {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * Receives the next commands, in order; no other bridge receives them for 20 s. With `wait_seconds`, an answer without a
   * command comes only after that time.
   */
  receive(body: ReceiveCommands = {}): Promise<CommandPage> {
    return this.#api.call('receiveCommands', { body }, { retrySeconds: RETRY_SECONDS });
  }

  /**
   * False when the command is not to be done: nobody waits for it any more, or another bridge than the one with this `claim` has it.
   * `CommandNotFoundError`.
   */
  async heartbeat(commandId: string, claim?: string): Promise<boolean> {
    const input = { params: { command_id: commandId }, query: claim === undefined ? {} : { claim } };
    return (await this.#api.call('heartbeatCommand', input)).wanted;
  }

  /** Reports how a command ended; safe to repeat, and the first answer counts. `CommandNotFoundError`. */
  async answer(commandId: string, answer: BridgeAnswer): Promise<void> {
    await this.#api.call(
      'answerCommand',
      { params: { command_id: commandId }, body: answer },
      { retrySeconds: RETRY_SECONDS },
    );
  }
}
