/** Bytes in a KiB, MiB, GiB and TiB. */
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

/** S3 multipart limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_PARTS = 10_000;
/** Every part but the last has at least 5 MiB (S3). */
export const MIN_PART_SIZE_BYTES = 5 * MIB;
/** A part has at most 5 GiB (S3). */
export const MAX_PART_SIZE_BYTES = 5 * GIB;
/** The largest object: 10,000 parts of 5 GiB, 48.8 TiB (S3). */
export const MAX_FILE_SIZE_BYTES = MAX_PARTS * MAX_PART_SIZE_BYTES;

/** The part size the server picks is a power of two of at least this. */
export const DEFAULT_PART_SIZE_BYTES = 8 * MIB;

/** Parts signed by one call; 1,000 URLs of about 1.5 KB stay below API Gateway's 10 MB. */
export const MAX_PARTS_PER_SIGN_CALL = 1_000;
/** A presigned URL lives for 15 minutes unless the caller asks otherwise, and never longer than an hour: the signing role's credentials end then. */
export const DEFAULT_URL_SECONDS = 900;
export const MAX_URL_SECONDS = 3_600;

/** A session that is not completed expires after 7 days. */
export const UPLOAD_LIFETIME_SECONDS = 7 * 24 * 3_600;

/** The record of a session stays for 30 days after its end; its file, if it has one, for as long as nobody deletes it. */
export const ENDED_SESSION_SECONDS = 30 * 24 * 3_600;
/** For so long a deleted file can be restored, unless the deployment says otherwise. */
export const DELETED_FILE_DAYS = 7;

/**
 * What a tenant may have unless the deployment says otherwise: bytes of files and of sessions in progress, bytes of the
 * sessions that it opens in a day (UTC), and sessions in progress. One file of the greatest size fits into a day.
 */
export const DEFAULT_QUOTAS = { stored_bytes: 100 * TIB, bytes_per_day: 50 * TIB, open_sessions: 1_000 } as const;

/**
 * A GiB in S3 Standard for a month, in USD, in us-east-1 (the first 50 TB), which other regions' prices are close to or
 * above: https://aws.amazon.com/s3/pricing/. Parts cost the same until they are completed or aborted.
 */
export const S3_USD_PER_GIB_MONTH = 0.023;

/** A file's display name: 1–1,024 bytes of UTF-8. It is never part of an object key. */
export const MAX_NAME_BYTES = 1_024;

export const DEFAULT_PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = 500;

/** Jobs of one tenant that run at the same time, unless the tenant's limit says otherwise. */
export const DEFAULT_RUNNING_JOBS_PER_TENANT = 20;
/**
 * The longest pause before a job's first automatic retry, in seconds, unless the deployment says otherwise. The bound doubles
 * with each further retry, up to an hour; the pause is drawn evenly from zero to the bound (full jitter).
 */
export const DEFAULT_RETRY_DELAY_SECONDS = 1;
export const MIN_RETRY_DELAY_SECONDS = 0.05;
export const MAX_RETRY_DELAY_SECONDS = 3_600;
export const DEFAULT_MAX_RETRIES = 3;
export const MAX_MAX_RETRIES = 10;
/** Places in a tenant's queue are told exactly up to this one. */
export const MAX_QUEUE_POSITION = 100;
/** Jobs of one batch, and bytes of the file that lists them: it is read in one piece, in the memory of a Lambda. */
export const MAX_BATCH_JOBS = 10_000;
export const MAX_BATCH_BYTES = 64 * MIB;
/** A Map state runs at most this many iterations (7 history events each and one retry of 3 stay below Step Functions' 25,000). */
export const MAX_TASKS_PER_MAP = 1_500;
/** A task's output in the ledger; larger ones belong in an artifact (DynamoDB items have at most 400 KB). */
export const MAX_TASK_OUTPUT_BYTES = 200 * KIB;
/** A task's checkpoint as JSON: it is made and read in one piece, in the memory of a Lambda. */
export const MAX_CHECKPOINT_BYTES = 64 * MIB;
/** Executions that one attempt of a job may take, one after the other: 25 million history events. */
export const MAX_RUNS = 1_000;
/** What a run passes on to the next, as JSON; it is stored in the job's row. */
export const MAX_CONTINUATION_BYTES = 32 * KIB;
/** A job's input as JSON: well below Step Functions' 256 KiB. */
export const MAX_JOB_INPUT_BYTES = 64 * KIB;

/** A long poll waits at most this long; API Gateway ends a request after 29 s. */
export const MAX_EVENT_WAIT_SECONDS = 20;
export const EVENT_LIFETIME_SECONDS = 7 * 24 * 3_600;

export const MAX_WEBHOOKS_PER_TENANT = 20;
/** Messages to webhooks, and what became of them, are kept for 30 days. */
export const DELIVERY_LIFETIME_SECONDS = 30 * 24 * 3_600;
/** The previous secret of a webhook stays valid beside its successor for this long, unless the caller says otherwise. */
export const DEFAULT_SECRET_OVERLAP_HOURS = 24;
export const MAX_SECRET_OVERLAP_HOURS = 7 * 24;

/** An API key expires after at most this many days, or never. */
export const MAX_KEY_DAYS = 3_650;

/** A request body for the API itself (bytes of files never come here). API Gateway takes 10 MB, a Lambda 6 MB. */
export const MAX_BODY_BYTES = 4 * MIB;

/** Images of a product: what eBay shows of a listing. */
export const MAX_PRODUCT_IMAGES = 24;
/** The text of an error that a bridge answers with. */
export const MAX_BRIDGE_MESSAGE_LENGTH = 2_000;
/** An image goes to a marketplace in one request, from memory: eBay takes 12 MB, Etsy 20 MB. */
export const MAX_IMAGE_BYTES = 12_000_000;
