import { globSync, readFileSync } from 'node:fs';
import { matchesGlob, posix } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';
import { COMPUTED, IMPORT_RULES, KNOWN_VIOLATIONS } from './import-rules.ts';

/** The text of each file by its path from the root. */
export type Sources = ReadonlyMap<string, string>;

/** One import: static, type-only, re-exported, dynamic or in a type. */
interface Import {
  readonly from: string;
  readonly line: number;
  /** A path from the root, a package's name, or `COMPUTED`. */
  readonly to: string;
}

/** Returns every TypeScript and JavaScript file of the repository that is written by hand. */
export function readSources(root: string): Sources {
  const exclude = ['**/node_modules', '**/dist', 'test/fixtures'];
  const files = globSync('*/**/*.{ts,tsx,js,mjs}', { cwd: root, exclude });
  return new Map(files.sort().map((file) => [file, readFileSync(posix.join(root, file), 'utf8')]));
}

/** Returns a message for each import that no rule allows, each circle, and each known violation that is gone. */
export function checkImports(sources: Sources, known = KNOWN_VIOLATIONS): string[] {
  const imports = [...sources].flatMap(([file, text]) => importsOf(file, text));
  const isKnown = (one: Import) =>
    known.filter(({ from, to }) => matchesGlob(one.from, from) && matchesGlob(one.to, to));
  const forbidden = imports.flatMap((one) => {
    const rule = brokenRule(one);
    return rule === undefined ? [] : [{ one, message: `${one.from}:${one.line} imports ${one.to}: ${rule}` }];
  });
  const needed = new Set(forbidden.flatMap(({ one }) => isKnown(one)));
  return [
    ...forbidden.filter(({ one }) => isKnown(one).length === 0).map(({ message }) => message),
    ...known
      .filter((violation) => !needed.has(violation))
      .map(
        ({ from, to }) =>
          `${from} imports ${to} no more: remove this known violation from test/support/import-rules.ts`,
      ),
    ...circlesIn(imports),
  ];
}

function brokenRule({ from, to }: Import): string | undefined {
  const found = IMPORT_RULES.find(({ files }) => matchesGlob(from, files));
  if (!found) return 'no rule in test/support/import-rules.ts covers this file';
  const folder = from.split('/').slice(0, found.files.split('/').length - 1);
  const allowed = found.imports.some((glob) =>
    matchesGlob(to, glob.startsWith('./') ? posix.join(...folder, glob) : glob),
  );
  return allowed ? undefined : found.rule;
}

function importsOf(file: string, text: string): Import[] {
  const { module, program, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file} does not parse: ${errors[0]?.message}`);
  const found = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap(({ moduleRequest }) => moduleRequest ?? [])),
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) => ({
      start,
      value: /^(['"`])([^$]*)\1$/.exec(text.slice(start, end))?.[2] ?? COMPUTED,
    })),
  ];
  // Module records have no `import('…').Type`.
  if (/\bimport\(/.test(text)) {
    new Visitor({ TSImportType: ({ source }) => void found.push(source) }).visit(program);
  }
  const lines = found.map(({ start, value }) => {
    const to = value.startsWith('.') ? posix.join(posix.dirname(file), value) : value;
    return { from: file, to, line: text.slice(0, start).split('\n').length };
  });
  return lines.filter((one, at) => lines.findIndex(({ to, line }) => to === one.to && line === one.line) === at);
}

/** Finds circles by going depth first: an import of a file that is still being visited closes one. */
function circlesIn(imports: readonly Import[]): string[] {
  const next = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]) => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push(`a circle of imports: ${[...path.slice(start), file].join(' → ')}`);
    if (start >= 0 || done.has(file)) return;
    for (const to of new Set(next.get(file)?.map((one) => one.to))) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return circles;
}
