import type { Logged } from '../contract/event.ts';
import type { Event } from '../contract/events.ts';
import type { StateEntry as ContractStateEntry } from '../contract/live.ts';
import type { OperationOutput } from '../contract/routes.ts';
import type { BodyOf, QueryOf } from './api.ts';

/** What the API answers, as it is on the wire: names in snake_case, moments as ISO 8601. */
export type Upload = OperationOutput<'abortUpload'>;
/** With `idle_seconds`, of sessions without activity: what these keep in the object store, and what that costs. */
export type UploadPage = OperationOutput<'listUploads'>;
export type UploadWithParts = OperationOutput<'getUpload'>;
export type SignedPart = OperationOutput<'signParts'>['parts'][number];
export type File = OperationOutput<'getFile'>;
export type Download = OperationOutput<'downloadFile'>;
export type Usage = OperationOutput<'getUsage'>;
export type Job = OperationOutput<'getJob'>;
export type Task = OperationOutput<'listTasks'>['items'][number];
export type Checkpoint = OperationOutput<'listCheckpoints'>['items'][number];
export type Artifact = OperationOutput<'listArtifacts'>['items'][number];
export type Workflow = OperationOutput<'listWorkflows'>['items'][number];
export type Batch = OperationOutput<'getBatch'>;
export type BatchItem = OperationOutput<'listBatchItems'>['items'][number];
export type LabelStats = OperationOutput<'getStats'>['items'][number];
export type JobEvent = OperationOutput<'listJobEvents'>['items'][number];
export type Product = OperationOutput<'getProduct'>;
export type MarketplaceAccount = OperationOutput<'getMarketplaceAccount'>;
export type CommandPage = OperationOutput<'receiveCommands'>;
export type BridgeCommand = CommandPage['items'][number];
export type UploadEvent = OperationOutput<'listUploadEvents'>['items'][number];
/** An event of any job or upload, with its cursor. */
export type LiveEvent = Logged<Event>;
export type StateEntry = ContractStateEntry;
export type ApiKey = OperationOutput<'listKeys'>['items'][number];
export type CreatedKey = OperationOutput<'createKey'>;

export type Webhook = OperationOutput<'getWebhook'>;
export type CreatedWebhook = OperationOutput<'createWebhook'>;
export type RotatedSecret = OperationOutput<'rotateWebhookSecret'>;
export type WebhookDelivery = OperationOutput<'redeliverWebhook'>;
export type WriteWebhook = BodyOf<'createWebhook'>;

export type ListUploads = QueryOf<'listUploads'>;
export type ListFiles = QueryOf<'listFiles'>;
export type ListJobs = QueryOf<'listJobs'>;
export type ListTasks = QueryOf<'listTasks'>;
export type ListCheckpoints = QueryOf<'listCheckpoints'>;
export type ListArtifacts = QueryOf<'listArtifacts'>;
export type ListBatches = QueryOf<'listBatches'>;
export type ListBatchItems = QueryOf<'listBatchItems'>;
export type CreateBatch = BodyOf<'createBatch'>;
export type ListKeys = QueryOf<'listKeys'>;
export type ListProducts = QueryOf<'listProducts'>;
export type ListMarketplaceAccounts = QueryOf<'listMarketplaceAccounts'>;
export type ReceiveCommands = BodyOf<'receiveCommands'>;
export type CreateProduct = BodyOf<'createProduct'>;
export type CreateMarketplaceAccount = BodyOf<'createMarketplaceAccount'>;
export type Credentials = BodyOf<'renewMarketplaceCredentials'>['credentials'];
export type BridgeAnswer = BodyOf<'answerCommand'>;
export type CreateKey = BodyOf<'createKey'>;

/** A page of a listing, newest first; `next_cursor` is there when more may follow. */
export interface Page<Item> {
  items: Item[];
  next_cursor?: string | undefined;
}
