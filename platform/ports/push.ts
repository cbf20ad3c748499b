/** Sends text to clients that hold a connection open. */
export interface Push {
  /**
   * False if the connection is gone: it is also closed when it could not be told something, so that one that is there
   * has been told everything. `message`: at most 32 KB, one frame of API Gateway.
   */
  send(connectionId: string, message: string): Promise<boolean>;

  /** Closes a connection with a code of 4000–4999, where the platform has them; fine if it is gone. */
  close(connectionId: string, code: number): Promise<void>;
}
