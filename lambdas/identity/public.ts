export { createKeyStore, type KeyStore } from './api-keys.ts';
export { createAuthenticator } from './authenticator.ts';
export { JwtIssuer } from './jwt.ts';
