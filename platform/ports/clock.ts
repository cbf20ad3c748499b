/** What use cases know of time and chance, so that tests can fix both. */
export interface Clock {
  now(): Date;
  /** A ULID: 26 characters, sortable by time, unique. */
  newId(): string;
}
