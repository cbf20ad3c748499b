import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const PAGES = ['README.md', 'CONTRIBUTING.md', ...globSync('{bench,client,docs,docs/decisions,test}/*.md')];

interface Link {
  readonly page: string;
  readonly text: string;
  readonly path: string;
  readonly anchor: string | undefined;
}

function linksOf(page: string): Link[] {
  return [...readFileSync(page, 'utf8').matchAll(/\[([^\]]+)\]\(([^)\s]+)\)/g)]
    .map(([, text = '', target = '']) => ({ text, target }))
    .filter(({ target }) => !/^https?:/.test(target))
    .map(({ text, target }) => {
      const [file = '', anchor] = target.split('#');
      return { page, text, path: file === '' ? page : join(dirname(page), file), anchor };
    });
}

/** The anchors that GitHub gives to a page's headings. */
function anchorsOf(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

const LINKS = PAGES.flatMap(linksOf);

test('every link of a page leads to a file, and to a heading where it names one', () => {
  expect(LINKS.length).toBeGreaterThan(50);
  const broken = LINKS.filter(({ path, anchor }) => {
    if (!existsSync(path)) return true;
    return anchor !== undefined && !anchorsOf(path).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test('a link of the glossary that names a symbol leads to the file that defines it', () => {
  const named = LINKS.filter(({ page, text }) => page === 'docs/glossary.md' && /^`\w+`$/.test(text));
  expect(named.length).toBeGreaterThan(30);
  const wrong = named.filter(({ text, path }) => {
    const symbol = text.slice(1, -1);
    return !new RegExp(`\\b(const|function|interface|type|class) ${symbol}\\b`).test(readFileSync(path, 'utf8'));
  });
  expect(wrong).toEqual([]);
});
