import type { Item, Query, Table } from '../../platform/ports/table.ts';

/** Pages that one listing reads at most to find items that its filter lets through. */
const MAX_PAGES_READ = 20;

interface PageAsked {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export function pageQuery({ limit, cursor }: PageAsked): { limit: number; cursor?: string } {
  return cursor === undefined ? { limit } : { limit, cursor };
}

export function nextCursor({ cursor }: { readonly cursor?: string | undefined }): { next_cursor?: string } {
  return cursor === undefined ? {} : { next_cursor: cursor };
}

/** Every item that a query finds; a page at a time, of at most `limit` items, is in memory. */
export async function* eachItem(table: Table, query: Omit<Query, 'cursor'>): AsyncGenerator<Item> {
  let cursor: string | undefined;
  do {
    const page = await table.query({ ...query, ...(cursor ? { cursor } : {}) });
    yield* page.items;
    cursor = page.cursor;
  } while (cursor);
}

/** What matches of the first page that has any; after some pages without, there may be only a cursor. */
export async function findPage<Listed>(
  asked: PageAsked,
  readPage: (query: { limit: number; cursor?: string }) => Promise<{ items: Listed[]; cursor?: string | undefined }>,
  matches: (listed: Listed) => boolean,
): Promise<{ items: Listed[]; next: { next_cursor?: string } }> {
  let { cursor } = asked;
  for (let read = 1; ; read += 1) {
    const page = await readPage(pageQuery({ limit: asked.limit, cursor }));
    const items = page.items.filter(matches);
    if (items.length > 0 || !page.cursor || read === MAX_PAGES_READ) return { items, next: nextCursor(page) };
    cursor = page.cursor;
  }
}

/** The newest items of a list, in `g1` unless it says otherwise, that match. A page may be shorter than asked for. */
export async function listNewest<Listed extends object>(
  table: Table,
  list: {
    readonly pk: string;
    readonly index?: 'g1' | 'g2';
    readonly between?: Query['between'];
    readonly asked: PageAsked;
    readonly parse: (item: Item) => Listed;
  },
  matches: (listed: Listed) => boolean = () => true,
): Promise<{ items: Listed[]; next: { next_cursor?: string } }> {
  const { pk, index = 'g1', between, asked, parse } = list;
  const readPage = async (part: { limit: number; cursor?: string }) => {
    const { items, cursor } = await table.query({ ...part, pk, index, between, descending: true });
    return { items: items.map(parse), cursor };
  };
  return findPage(asked, readPage, matches);
}
