import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type Duplex, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';

/** The parameter of a part's URL, for a regular expression: of the embedded platform's object store and of S3. */
export const PART_NUMBER = '[?&](?:part|partNumber)';

/** What happens to a request: cut after so many bytes of its body, an answer that is lost, … */
type Fault =
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'answer'; readonly status: number }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'flip-bit'; readonly atByte: number; readonly bit: number };

interface FaultRule {
  /** Such as `PUT` and a part of the URL. */
  readonly method: string;
  readonly url: RegExp;
  readonly fault: Fault;
  /** So many requests meet it; then the next rule that matches counts. */
  times: number;
}

export interface FaultProxy {
  readonly url: string;
  /** The origin that requests go on to; answers in JSON have this proxy's in its place. */
  readonly target: string;
  readonly rules: FaultRule[];
  /** Method and URL of every request, in order. */
  readonly requests: string[];
  /** Those that met a fault. */
  readonly harmed: string[];
  /** How many WebSockets were opened, and how many there are. */
  readonly webSockets: { opened: number; open: number };
  /** Cuts the WebSockets that are there. */
  cutWebSockets(): void;
  /** Refuses connections, and cuts those that are there, until `comeBack`. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

/** An HTTP proxy that does harm as its rules say, on the way to the API and, since URLs lead through it, to the objects; `host`: how it is called. */
export async function startFaultProxy(target: string, host = '127.0.0.1'): Promise<FaultProxy> {
  const rules: FaultRule[] = [];
  const requests: string[] = [];
  const harmed: string[] = [];
  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    const rule = rules.find(
      ({ method, url, times }) => times > 0 && method === incoming.method && url.test(incoming.url ?? ''),
    );
    if (rule) {
      rule.times -= 1;
      harmed.push(`${incoming.method} ${incoming.url}`);
    }
    if (rule?.fault.kind === 'delay') setTimeout(() => forward(proxy, incoming, outgoing), rule.fault.ms);
    else forward(proxy, incoming, outgoing, rule?.fault);
  });
  const webSockets = { opened: 0, open: 0 };
  const tunnels = new Set<Duplex>();
  server.on('upgrade', (incoming, socket, head) => {
    const tunnel = openTunnel(target, incoming, socket, head);
    webSockets.opened += 1;
    webSockets.open += 1;
    tunnels.add(socket);
    tunnel.once('close', () => {
      webSockets.open -= 1;
      tunnels.delete(socket);
    });
  });
  const cutWebSockets = () => {
    for (const socket of tunnels) socket.destroy();
  };
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const goAway = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
      cutWebSockets();
    });
  const proxy: FaultProxy = {
    url: `http://${host}:${port}`,
    target,
    rules,
    requests,
    harmed,
    webSockets,
    cutWebSockets,
    goAway,
    comeBack: () => listen(port),
    close: goAway,
  };
  return proxy;
}

function forward(
  { target, url }: FaultProxy,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  fault?: Fault,
): void {
  if (fault?.kind === 'answer') {
    incoming.resume();
    outgoing.writeHead(fault.status, { 'content-length': 0 }).end();
    return;
  }
  const { hostname, port, host } = new URL(target);
  // The host is signed into the URLs of S3.
  const headers = { ...incoming.headers, host };
  const onward = request({ host: hostname, port, method: incoming.method, path: incoming.url, headers });
  onward.on('error', () => outgoing.destroy());
  incoming.on('error', () => onward.destroy());
  outgoing.on('close', () => onward.destroy());
  onward.on('response', (answer) => {
    const status = answer.statusCode ?? 502;
    if (fault?.kind === 'lose-answer') {
      // Only now has the other side done what it was asked to.
      answer.resume().once('end', () => outgoing.destroy());
    } else if (answer.headers['content-type']?.startsWith('application/json')) {
      text(answer).then(
        (body) => {
          const ofSockets = body.replaceAll(target.replace(/^http/, 'ws'), url.replace(/^http/, 'ws'));
          const replaced = Buffer.from(ofSockets.replaceAll(target, url));
          outgoing.writeHead(status, { ...answer.headers, 'content-length': replaced.length }).end(replaced);
        },
        () => outgoing.destroy(),
      );
    } else {
      outgoing.writeHead(status, answer.headers);
      answer.pipe(outgoing);
    }
  });
  incoming.pipe(harm(fault, () => incoming.socket.destroy())).pipe(onward);
}

/** Sends a request for a WebSocket on, and what follows it, both ways. */
function openTunnel(target: string, incoming: IncomingMessage, socket: Duplex, head: Buffer): Duplex {
  const { hostname, port } = new URL(target);
  const onward = connect({ host: hostname, port: Number(port) });
  const end = () => {
    socket.destroy();
    onward.destroy();
  };
  for (const side of [socket, onward]) side.on('error', end).on('close', end);
  const lines = Object.entries({ ...incoming.headers, host: `${hostname}:${port}` }).map((line) => line.join(': '));
  onward.write([`GET ${incoming.url} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  onward.write(head);
  socket.pipe(onward).pipe(socket);
  return onward;
}

function harm(fault: Fault | undefined, cut: () => void): Transform {
  let at = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const end = at + chunk.length;
      if (fault?.kind === 'cut' && end > fault.afterBytes) {
        cut();
        return;
      }
      if (fault?.kind === 'flip-bit' && fault.atByte >= at && fault.atByte < end) {
        const index = fault.atByte - at;
        chunk[index] = (chunk[index] ?? 0) ^ (1 << fault.bit);
      }
      at = end;
      done(null, chunk);
    },
  });
}
