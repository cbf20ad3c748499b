export type { KeyStore } from './api-keys.ts';
export { openAuthenticator, openKeys } from './open.ts';
