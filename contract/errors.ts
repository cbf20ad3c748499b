/**
 * Every error code of the API and of tasks: its HTTP status, whether the same request may succeed when it is tried again later, and what it means.
 * Codes are stable: clients switch on them, never on a message.
 */
export const ERRORS = {
  ValidationError: { status: 400, retryable: false, meaning: 'A field of the request is missing or out of bounds.' },
  InvalidCursorError: { status: 400, retryable: false, meaning: 'The cursor is not one that this listing gave out.' },
  InvalidPartIndexError: { status: 400, retryable: false, meaning: 'The part number is not one of this upload.' },
  BodyNotAcceptedError: {
    status: 400,
    retryable: false,
    meaning: 'File bytes go to the presigned URL, not to the API.',
  },
  EmptyFileError: { status: 400, retryable: false, meaning: 'A file has at least one byte.' },
  FileTooLargeError: { status: 400, retryable: false, meaning: 'The file is larger than the object store takes.' },
  UnauthenticatedError: { status: 401, retryable: false, meaning: 'There is no valid credential with the request.' },
  ForbiddenError: { status: 403, retryable: false, meaning: 'The credential does not allow this.' },
  QuotaExceededError: { status: 403, retryable: false, meaning: 'A quota of the tenant would be exceeded.' },
  RouteNotFoundError: { status: 404, retryable: false, meaning: 'There is no such route.' },
  UploadNotFoundError: { status: 404, retryable: false, meaning: 'There is no such upload.' },
  FileNotFoundError: { status: 404, retryable: false, meaning: 'There is no such file.' },
  JobNotFoundError: { status: 404, retryable: false, meaning: 'There is no such job.' },
  WorkflowNotFoundError: { status: 404, retryable: false, meaning: 'There is no such workflow.' },
  BatchNotFoundError: { status: 404, retryable: false, meaning: 'There is no such batch.' },
  ProductNotFoundError: { status: 404, retryable: false, meaning: 'There is no such product.' },
  MarketplaceAccountNotFoundError: { status: 404, retryable: false, meaning: 'There is no such marketplace account.' },
  CommandNotFoundError: { status: 404, retryable: false, meaning: 'There is no such command for a bridge.' },
  KeyNotFoundError: { status: 404, retryable: false, meaning: 'There is no such API key.' },
  WebhookNotFoundError: { status: 404, retryable: false, meaning: 'There is no such webhook.' },
  DeliveryNotFoundError: { status: 404, retryable: false, meaning: 'There is no such delivery of this webhook.' },
  MethodNotAllowedError: { status: 405, retryable: false, meaning: 'The route exists, but not with this method.' },
  UploadNotOpenError: { status: 409, retryable: false, meaning: 'The upload is not in a state that allows this.' },
  PartsMissingError: { status: 409, retryable: false, meaning: 'Some parts have not arrived, or with the wrong size.' },
  PartChecksumMismatchError: { status: 409, retryable: false, meaning: 'Some parts differ from the checksums given.' },
  ChecksumMismatchError: {
    status: 409,
    retryable: false,
    meaning: 'The whole object differs from the checksum given.',
  },
  ContentMismatchError: {
    status: 409,
    retryable: false,
    meaning: 'The content is not of the declared type; it is quarantined.',
  },
  IdempotencyConflictError: {
    status: 409,
    retryable: false,
    meaning: 'The idempotency key was used with another request.',
  },
  JobNotRetryableError: { status: 409, retryable: false, meaning: 'Only failed and cancelled jobs can be retried.' },
  JobNotCancellableError: { status: 409, retryable: false, meaning: 'The job has ended.' },
  BatchBusyError: {
    status: 409,
    retryable: true,
    meaning: 'The batch is being created, cancelled or retried; try again.',
  },
  PayloadTooLargeError: { status: 413, retryable: false, meaning: 'The request body is too large.' },
  InputDataError: { status: 422, retryable: false, meaning: 'The data of a job cannot be used.' },
  ListingRefusedError: {
    status: 422,
    retryable: false,
    meaning: 'The marketplace does not take the product as it is.',
  },
  CredentialsRefusedError: {
    status: 422,
    retryable: false,
    meaning: "The marketplace refuses the account's credentials: renew them.",
  },
  TooManyRequestsError: { status: 429, retryable: true, meaning: 'Too many requests; try again later.' },
  JobCancelledError: { status: 409, retryable: false, meaning: 'The job was cancelled while the task ran.' },
  LeaseLostError: { status: 409, retryable: true, meaning: 'Another runner has taken over the task.' },
  TaskBusyError: { status: 409, retryable: true, meaning: 'Another runner has the task, or another job its listing.' },
  TaskTimeoutError: { status: 504, retryable: true, meaning: 'The task took longer than it may.' },
  TaskWaitingError: { status: 409, retryable: true, meaning: 'The task goes on when it is answered from outside.' },
  MarketplaceBusyError: {
    status: 503,
    retryable: true,
    meaning: 'The marketplace takes no more requests for a while.',
  },
  MarketplaceUnavailableError: {
    status: 503,
    retryable: true,
    meaning: 'The marketplace does not answer as it should.',
  },
  BridgeSilentError: { status: 504, retryable: true, meaning: "The seller's bridge has not answered; is it running?" },
  InternalError: { status: 500, retryable: false, meaning: 'A defect of the service; its log has the details.' },
  ServiceBusyError: { status: 503, retryable: true, meaning: 'The service is busy; try again.' },
  GatewayTimeoutError: { status: 504, retryable: true, meaning: 'The request took too long; try again.' },
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
