/** The first items of a listing. */
export async function collect<Item>(items: AsyncIterable<Item>, limit = Number.POSITIVE_INFINITY): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) {
    if (found.push(item) >= limit) break;
  }
  return found;
}
