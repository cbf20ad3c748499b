import type { Handlers } from '../runtime/api.ts';

/** `websocketUrl` is undefined where there is no WebSocket. */
export function createLiveHandlers({ websocketUrl }: { websocketUrl: () => string | undefined }): Handlers<'live'> {
  return {
    async getLive() {
      const url = websocketUrl();
      return { status: 200, body: url === undefined ? {} : { websocket_url: url } };
    },
  };
}
