/**
 * Maps items with at most `atOnce` calls under way at a time; the results are in the order of the items. After a failure no
 * further call begins, and the first failure is thrown when the calls under way have ended.
 */
export async function mapAtMost<Item, Result>(
  atOnce: number,
  items: readonly Item[],
  map: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const queue = items.entries();
  let failure: { readonly error: unknown } | undefined;
  const work = async () => {
    for (const [index, item] of queue) {
      try {
        results[index] = await map(item, index);
      } catch (error) {
        failure ??= { error };
      }
      if (failure) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  if (failure) throw failure.error;
  return results;
}
