import type { Item, Page, Query, Table } from '../../platform/ports/table.ts';

/** Pages that one listing reads at most to find items that its filter lets through. */
export const MAX_PAGES_READ = 20;

interface PageAsked {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export function pageQuery({ limit, cursor }: PageAsked): { limit: number; cursor?: string } {
  return cursor === undefined ? { limit } : { limit, cursor };
}

export function nextCursor({ cursor }: Pick<Page, 'cursor'>): { next_cursor?: string } {
  return cursor === undefined ? {} : { next_cursor: cursor };
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
  let { cursor } = asked;
  for (let read = 1; ; read += 1) {
    const part = pageQuery({ limit: asked.limit, cursor });
    const page = await table.query({ ...part, pk, index, between, descending: true });
    const items = page.items.map(parse).filter(matches);
    if (items.length > 0 || !page.cursor || read === MAX_PAGES_READ) return { items, next: nextCursor(page) };
    cursor = page.cursor;
  }
}
