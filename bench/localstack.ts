import { startLocalStack } from '../test/support/localstack.ts';

/** Removes its containers afterwards, also when the bench is interrupted. */
export async function onLocalStack<T>(use: (endpoint: string) => Promise<T>): Promise<T> {
  const starting = startLocalStack();
  const stop = async () => (await starting).stop();
  const interrupted = () => void stop().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  try {
    return await use((await starting).endpoint);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
    await stop();
  }
}
