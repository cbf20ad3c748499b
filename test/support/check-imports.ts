import { fileURLToPath } from 'node:url';
import { checkImports, readSources } from './imports.ts';

const found = checkImports(readSources(fileURLToPath(new URL('../..', import.meta.url))));
for (const message of found) console.error(message);
if (found.length > 0) process.exitCode = 1;
