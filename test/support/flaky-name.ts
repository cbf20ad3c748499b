import dns from 'node:dns';

export interface FlakyName {
  readonly host: string;
  /** Whether this process resolves it, to loopback; else it asks the system, which knows no such name. */
  resolves: boolean;
  /** The codes of lookups that failed. */
  readonly failures: string[];
  close(): void;
}

type Lookup = (host: string, options: dns.LookupOptions, done: LookupDone) => void;
type LookupDone = (error: NodeJS.ErrnoException | null, address?: unknown, family?: number) => void;

/** A host of a domain that has none (RFC 6761), which this process resolves or not: what Node connects to, it looks up so. */
export function startFlakyName(): FlakyName {
  const { lookup } = dns;
  const name: FlakyName = {
    host: `millrace-${crypto.randomUUID().slice(0, 8)}.invalid`,
    resolves: true,
    failures: [],
    close: () => {
      dns.lookup = lookup;
    },
  };
  const lookUp: Lookup = (host, options, done) => {
    if (host !== name.host) return (lookup as Lookup)(host, options, done);
    if (name.resolves) return (lookup as Lookup)('127.0.0.1', options, done);
    (lookup as Lookup)(host, options, (error, ...answer) => {
      if (error) name.failures.push(error.code ?? error.message);
      done(error, ...answer);
    });
  };
  dns.lookup = lookUp as typeof lookup;
  return name;
}
