#!/usr/bin/env node
import { existsSync } from 'node:fs';

// A checkout runs the sources, the published package its bundle.
const source = new URL('../main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href);
