import dns from 'node:dns';
import dnsPromises from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

// Loaded into every process of the tests, by vitest and by NODE_OPTIONS: has connections fail that lead further than to
// this machine, or to where the deployment under test is, and names that only others know. The system's own resolver is
// not asked for them.

/** Names that never lead to other machines (RFC 6761), and the one by which LocalStack knows itself. */
const LOCAL_NAME = /^(localhost|.+\.localhost|.+\.invalid|.+\.test|(.+\.)?localhost\.localstack\.cloud)\.?$/i;
const LOOPBACK = new net.BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const deployment = [process.env.LOCALSTACK_ENDPOINT, process.env.MILLRACE_URL].flatMap((url) =>
  url ? [new URL(url).hostname.replace(/^\[|\]$/g, '')] : [],
);

const isAllowed = (host) => {
  if (deployment.includes(host)) return true;
  const family = net.isIP(host);
  return family ? LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4') : LOCAL_NAME.test(host);
};

/** What was refused in this process since the last look. */
globalThis.refusedConnections ??= [];

const refusal = (target) => {
  globalThis.refusedConnections.push(target);
  const message = `tests connect to this machine only, not to ${target} (test/support/refuse-connections.mjs)`;
  return Object.assign(new Error(message), { code: 'ERR_TESTS_CONNECT_LOCALLY' });
};

function guardLookup(lookup) {
  return (host, options, done = options) => {
    if (net.isIP(host) || isAllowed(host)) return lookup(host, options, done);
    process.nextTick(done, refusal(host));
  };
}

/** A lookup of the caller's own may answer for any name, but with an address of this machine. */
function guardAnswers(lookup) {
  return (host, options, done) =>
    lookup(host, options, (error, found, ...more) => {
      const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found];
      const refused = error ? undefined : addresses.find((address) => !isAllowed(address));
      if (refused === undefined) done(error, found, ...more);
      else done(refusal(`${refused} (${host})`));
    });
}

// An account on AWS is reached at addresses that nobody knows before.
const isOnAws = process.env.MILLRACE_URL && !['localstack', 'ministack'].includes(process.env.MILLRACE_E2E ?? 'aws');
if (!isOnAws && !net.Socket.prototype.connect.isGuarded) {
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function connectHere(...args) {
    // `net.connect` hands on its arguments as an array in an array.
    const [first] = Array.isArray(args[0]) ? args[0] : args;
    const options = typeof first === 'object' && first !== null ? first : { port: first, host: args[1] };
    const isPath = options.path || (typeof first === 'string' && Number.isNaN(Number(first)));
    const host = typeof options.host === 'string' ? options.host : 'localhost';
    if (isPath || net.isIP(host) === 0 ? true : isAllowed(host)) {
      if (!isPath && options.lookup) options.lookup = guardAnswers(options.lookup);
      return connect.apply(this, args);
    }
    const error = refusal(`${host}:${options.port}`);
    process.nextTick(() => this.destroy(error));
    return this;
  };
  net.Socket.prototype.connect.isGuarded = true;
  dns.lookup = guardLookup(dns.lookup);
  const { lookup } = dnsPromises;
  dnsPromises.lookup = async (host, ...more) => {
    if (net.isIP(host) || isAllowed(host)) return lookup(host, ...more);
    throw refusal(host);
  };
  syncBuiltinESMExports();
}
