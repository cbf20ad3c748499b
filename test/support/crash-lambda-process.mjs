import http from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';

// Preloaded into deployed functions (NODE_OPTIONS): ends the process right before or right after its nth write for a
// tenant `crash-<before|after>-<n>-<until, epoch ms>-…`, until then. In place of n: the name of a write, then each such one
// ends it. Other tenants never notice.

const WRITE = /\.(PutItem|UpdateItem|DeleteItem|BatchWriteItem|TransactWriteItems|StartExecution|PutEvents)$/;
const PLAN = /crash-(before|after)-(\w+)-(\d+)-[a-z0-9]+/;
const die = () => process.kill(process.pid, 'SIGKILL');
const counts = {};

for (const module of [http, https]) {
  const { request } = module;
  module.request = (...args) => {
    const sent = request(...args);
    const { end } = sent;
    sent.end = (body, ...rest) => {
      const target = sent.getHeader('x-amz-target');
      // S3 has no target.
      const writes = target ? WRITE.test(target) : !['GET', 'HEAD'].includes(sent.method);
      const [tenant, when, n, until] = PLAN.exec(`${sent.path} ${typeof body === 'function' ? '' : body}`) ?? [];
      if (writes && tenant && Date.now() < Number(until)) {
        counts[tenant] = (counts[tenant] ?? 0) + 1;
        const isIt = counts[tenant] === Number(n) || target?.split('.').at(-1).toLowerCase() === n;
        if (isIt) console.log(`killed ${when} write ${n} of ${tenant}: ${target ?? `${sent.method} S3`}`);
        if (isIt && when === 'before') die();
        if (isIt) sent.once('response', die);
      }
      return end.call(sent, body, ...rest);
    };
    return sent;
  };
}
syncBuiltinESMExports();
