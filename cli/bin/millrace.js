#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

// A checkout runs the sources, the client's too; the published package has its bundle and not the sources.
if (existsSync(new URL('../main.ts', import.meta.url))) {
  module.registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: ['millrace-source', ...context.conditions] }),
  });
  await import('../main.ts');
} else {
  await import('../dist/main.js');
}
