import type { Handlers } from '../runtime/api.ts';

export interface LiveApiDeps {
  /** Undefined where there is no WebSocket. */
  readonly websocketUrl: () => string | undefined;
}

export function createLiveHandlers({ websocketUrl }: LiveApiDeps): Handlers<'live'> {
  return {
    async getLive() {
      const url = websocketUrl();
      return { status: 200, body: url === undefined ? {} : { websocket_url: url } };
    },
  };
}
