/** The states of a job; the transitions are in `lambdas/jobs/transitions.ts`. */
export const JOB_STATES = ['creating', 'queued', 'running', 'cancelling', 'completed', 'failed', 'cancelled'] as const;

/**
 * The states of an upload session:
 *
 *     open ──► completing ──► completed
 *      │ └──────────┬─────► rejected     (the content is not what was declared)
 *      ├──► aborted └─────► open         (completion was refused; the parts are still there)
 *      └──► expired
 */
export const UPLOAD_STATES = ['open', 'completing', 'completed', 'aborted', 'expired', 'rejected'] as const;

/** The roles of a credential, from the one that may do most. */
export const ROLES = ['owner', 'editor', 'viewer'] as const;
