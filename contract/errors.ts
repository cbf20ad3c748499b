/**
 * Every error code of the API and of tasks: its HTTP status, whether the same request may succeed when it is tried again later, and what it means.
 * Codes are stable: clients switch on them, never on a message.
 */
export const ERRORS = {
  ValidationError: { status: 400, retryable: false, meaning: 'A field of the request is missing or not valid.' },
  InvalidCursorError: { status: 400, retryable: false, meaning: 'The cursor does not belong to this listing.' },
  InvalidPartIndexError: { status: 400, retryable: false, meaning: 'The upload has no part with this number.' },
  BodyNotAcceptedError: {
    status: 400,
    retryable: false,
    meaning: 'Send file bytes to the presigned URL, not to the API.',
  },
  EmptyFileError: { status: 400, retryable: false, meaning: 'The file is empty; a file needs at least one byte.' },
  FileTooLargeError: { status: 400, retryable: false, meaning: 'The file is larger than the object store supports.' },
  UnauthenticatedError: { status: 401, retryable: false, meaning: 'The request has no valid credential.' },
  ForbiddenError: { status: 403, retryable: false, meaning: 'The credential lacks permission for this.' },
  QuotaExceededError: { status: 403, retryable: false, meaning: 'The request would exceed a quota of the tenant.' },
  RouteNotFoundError: { status: 404, retryable: false, meaning: 'The route does not exist.' },
  UploadNotFoundError: { status: 404, retryable: false, meaning: 'The upload does not exist.' },
  FileNotFoundError: { status: 404, retryable: false, meaning: 'The file does not exist.' },
  JobNotFoundError: { status: 404, retryable: false, meaning: 'The job does not exist.' },
  WorkflowNotFoundError: { status: 404, retryable: false, meaning: 'The workflow does not exist.' },
  BatchNotFoundError: { status: 404, retryable: false, meaning: 'The batch does not exist.' },
  ProductNotFoundError: { status: 404, retryable: false, meaning: 'The product does not exist.' },
  MarketplaceAccountNotFoundError: {
    status: 404,
    retryable: false,
    meaning: 'The marketplace account does not exist.',
  },
  CommandNotFoundError: { status: 404, retryable: false, meaning: 'The bridge command does not exist.' },
  KeyNotFoundError: { status: 404, retryable: false, meaning: 'The API key does not exist.' },
  WebhookNotFoundError: { status: 404, retryable: false, meaning: 'The webhook does not exist.' },
  DeliveryNotFoundError: { status: 404, retryable: false, meaning: 'The webhook has no such delivery.' },
  MethodNotAllowedError: { status: 405, retryable: false, meaning: 'The route does not support this method.' },
  UploadNotOpenError: { status: 409, retryable: false, meaning: 'The state of the upload does not allow this.' },
  PartsMissingError: { status: 409, retryable: false, meaning: 'Some parts are missing or have the wrong size.' },
  PartChecksumMismatchError: { status: 409, retryable: false, meaning: 'Some parts do not match the given checksums.' },
  ChecksumMismatchError: {
    status: 409,
    retryable: false,
    meaning: 'The whole object does not match the given checksum.',
  },
  ContentMismatchError: {
    status: 409,
    retryable: false,
    meaning: 'The content does not have the declared type; it is quarantined.',
  },
  IdempotencyConflictError: {
    status: 409,
    retryable: false,
    meaning: 'The idempotency key was already used for a different request.',
  },
  JobNotRetryableError: { status: 409, retryable: false, meaning: 'Only failed and cancelled jobs can be retried.' },
  JobNotCancellableError: { status: 409, retryable: false, meaning: 'The job has already ended.' },
  BatchBusyError: {
    status: 409,
    retryable: true,
    meaning: 'The batch is being created, cancelled or retried; try again later.',
  },
  PayloadTooLargeError: { status: 413, retryable: false, meaning: 'The request body is too large.' },
  InputDataError: { status: 422, retryable: false, meaning: 'The input data of the job cannot be used.' },
  ListingRefusedError: {
    status: 422,
    retryable: false,
    meaning: 'The marketplace rejected the product as it is.',
  },
  CredentialsRefusedError: {
    status: 422,
    retryable: false,
    meaning: "The marketplace rejected the account's credentials; replace them.",
  },
  TooManyRequestsError: { status: 429, retryable: true, meaning: 'Too many requests; try again later.' },
  JobCancelledError: { status: 409, retryable: false, meaning: 'The job was cancelled while the task ran.' },
  LeaseLostError: { status: 409, retryable: true, meaning: 'Another runner has taken over the task.' },
  TaskBusyError: {
    status: 409,
    retryable: true,
    meaning: 'Another runner has the task, or another job has its listing.',
  },
  TaskTimeoutError: { status: 504, retryable: true, meaning: 'The task exceeded its time limit.' },
  TaskWaitingError: { status: 409, retryable: true, meaning: 'The task waits for an answer from outside.' },
  MarketplaceBusyError: {
    status: 503,
    retryable: true,
    meaning: 'The marketplace accepts no more requests for a while.',
  },
  MarketplaceUnavailableError: {
    status: 503,
    retryable: true,
    meaning: 'The marketplace did not answer as expected.',
  },
  BridgeSilentError: {
    status: 504,
    retryable: true,
    meaning: "The seller's bridge has not answered; check that it runs.",
  },
  InternalError: { status: 500, retryable: false, meaning: 'The service failed; its log has the details.' },
  ServiceBusyError: { status: 503, retryable: true, meaning: 'The service is busy; try again later.' },
  GatewayTimeoutError: { status: 504, retryable: true, meaning: 'The request took too long; try again later.' },
} as const satisfies Record<string, { status: number; retryable: boolean; meaning: string }>;

export type ErrorCode = keyof typeof ERRORS;

export type ErrorDetails = Record<string, unknown>;

/** The body of every answer that is not 2xx or 3xx. */
export interface ErrorBody {
  error: ErrorCode;
  message: string;
  details: ErrorDetails;
  request_id: string;
}

/**
 * An expected failure. Its `name` is its code, so that a state machine's Retry and Catch match it.
 * Anything else that is thrown is a defect and answers `InternalError`.
 */
export class DomainError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.name = code;
    this.code = code;
    this.details = details;
  }
}

/** An expected failure that does not go away when the same thing is tried again. */
export function isRefusal(error: unknown): error is DomainError {
  return error instanceof DomainError && !isRetryable(error.code);
}

/** Whether a code (or any other name of an error) is worth another try later; unknown ones are not. */
export function isRetryable(code: string): boolean {
  return code in ERRORS && ERRORS[code as ErrorCode].retryable;
}
