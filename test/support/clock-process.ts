// Preloaded into a process and its threads (node --import): their clock is ahead by CLOCK_OFFSET_MS, or behind.

const offsetMs = Number(process.env.CLOCK_OFFSET_MS ?? 0);
const { now } = Date;

Date.now = () => now() + offsetMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [Date.now()] : args, newTarget),
});
