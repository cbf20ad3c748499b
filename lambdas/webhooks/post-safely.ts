import { lookup as resolve } from 'node:dns/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const TIMEOUT_MS = 10_000;

/** What is no address of somebody out there: https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-. */
const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  PRIVATE.addSubnet(network, prefix, 'ipv4');

/** Of IPv6, what is given out to somebody, without what stands for IPv4 addresses or documentation in it. */
const PUBLIC_IPV6 = new BlockList();
PUBLIC_IPV6.addSubnet('2000::', 3, 'ipv6');
const SPECIAL_IPV6 = new BlockList();
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  SPECIAL_IPV6.addSubnet(network, prefix, 'ipv6');

/** Whether anybody in the world may have this IP address. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !PRIVATE.check(address, 'ipv4');
  return isIP(address) === 6 && PUBLIC_IPV6.check(address, 'ipv6') && !SPECIAL_IPV6.check(address, 'ipv6');
}

/** What is wrong with an address for webhooks; undefined if it will do. A name that doesn't resolve now may do later. */
export async function problemOfUrl(
  text: string,
  { allowPrivate }: { allowPrivate: boolean },
): Promise<string | undefined> {
  const url = URL.parse(text);
  if (!url || (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')))
    return 'must be a URL that starts with https://';
  if (url.username || url.password) return 'must not contain a user name or a password';
  if (allowPrivate) return undefined;
  const found = await resolve(hostOf(url), { all: true }).catch(() => []);
  const isBad = found.some(({ address }) => !isPublicAddress(address));
  return isBad ? 'must resolve to public addresses only' : undefined;
}

/**
 * Posts a body and answers with the status; redirects are not followed. The address that the name has at the moment of
 * the connection is the one that is checked, so that a name that changes leads nowhere else.
 */
export async function postSafely(
  text: string,
  { headers, body, allowPrivate }: { headers: Readonly<Record<string, string>>; body: string; allowPrivate: boolean },
): Promise<number> {
  const url = new URL(text);
  if (!allowPrivate && url.protocol !== 'https:') throw new Error('must be an https URL');
  const host = hostOf(url);
  // A name that is an address is not looked up.
  if (!allowPrivate && isIP(host) && !isPublicAddress(host)) throw notPublic();
  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }).then(
      (found) => {
        if (!allowPrivate && found.some(({ address }) => !isPublicAddress(address))) callback(notPublic(), []);
        else if (options.all) callback(null, found);
        else callback(null, found[0]?.address ?? '', found[0]?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
  return new Promise((done, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body), 'user-agent': 'Millrace-Webhooks' },
      // Without an agent no connection is one that was made, and checked, for another message.
      agent: false,
      lookup,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    request.once('error', reject);
    // However it ends, it is settled; mostly it is by then.
    request.once('close', () => reject(new Error('the connection ended without an answer')));
    // Of 101; nothing else watches that socket any more.
    request.once('upgrade', (response, socket) => {
      done(response.statusCode ?? 0);
      socket.on('error', () => {}).destroy();
    });
    request.once('response', (response) => {
      done(response.statusCode ?? 0);
      // What it says is not read.
      response.on('error', () => {});
      response.destroy();
    });
    request.end(body);
  });
}

/** Without the brackets of an IPv6 address. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function notPublic(): Error {
  return new Error('the address is not public');
}
