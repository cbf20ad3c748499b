import { globSync, readFileSync } from 'node:fs';
import { matchesGlob, posix } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';
import { COMPUTED, IMPORT_RULES, type ImportRule } from './import-rules.ts';

/** The text of each file by its path from the root. */
export type Sources = ReadonlyMap<string, string>;

/** One import: static, type-only, re-exported, dynamic or in a type. */
interface Import {
  readonly from: string;
  readonly line: number;
  /** A path from the root, a package's name, or `COMPUTED`. */
  readonly to: string;
}

/** Reads every TypeScript and JavaScript file of the repository, the fixtures apart. */
export function readSources(root: string): Sources {
  const exclude = ['**/node_modules', '**/dist', 'test/fixtures'];
  const files = globSync('*/**/*.?(c|m)[jt]s?(x)', { cwd: root, exclude });
  return new Map(files.sort().map((file) => [file, readFileSync(posix.join(root, file), 'utf8')]));
}

/** Returns a message for each file that no rule covers, each import that no rule allows, and each import cycle. */
export function checkImports(sources: Sources): string[] {
  const imports = [...sources].flatMap(([file, text]) => importsOf(file, text));
  return [
    ...[...sources.keys()]
      .filter((file) => !ruleOf(file))
      .map((file) => `${file}: no rule in test/support/import-rules.ts covers this file`),
    ...imports
      .filter((one) => !isAllowed(one))
      .map((one) => `${one.from}:${one.line} imports ${one.to}: ${ruleOf(one.from)?.rule}`),
    ...cyclesIn(imports).map((files) => `import cycle: ${files.join(' → ')}`),
  ];
}

function ruleOf(file: string): ImportRule | undefined {
  return IMPORT_RULES.find(({ files }) => matchesGlob(file, files));
}

function isAllowed({ from, to }: Import): boolean {
  const rule = ruleOf(from);
  if (!rule) return true;
  const folder = from.split('/').slice(0, rule.files.split('/').length - 1);
  return rule.imports.some((glob) => matchesGlob(to, glob.startsWith('./') ? posix.join(...folder, glob) : glob));
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

/** Goes depth first: an import of a file that is still being visited closes a cycle. */
function cyclesIn(imports: readonly Import[]): string[][] {
  const importsByFile = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (file: string, path: readonly string[]) => {
    const start = path.indexOf(file);
    if (start >= 0) cycles.push([...path.slice(start), file]);
    if (start >= 0 || done.has(file)) return;
    for (const to of new Set(importsByFile.get(file)?.map((one) => one.to))) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of importsByFile.keys()) visit(file, []);
  return cycles;
}
