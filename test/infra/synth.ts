import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import cdk from '../../cdk.json' with { type: 'json' };
import { addMillrace } from '../../lib/millrace.ts';

/** The whole app, without the functions' code. */
export function synthesize({ context = {} }: { context?: object } = {}): {
  app: App;
  templates: Readonly<Record<string, Template>>;
} {
  const outdir = mkdtempSync(join(tmpdir(), 'millrace-synth-'));
  try {
    const app = new App({ outdir, context: { ...cdk.context, 'aws:cdk:bundling-stacks': [], ...context } });
    addMillrace(app);
    const { stacks } = app.synth();
    const templates = Object.fromEntries(
      stacks.map(({ stackName, template }) => [stackName, Template.fromJSON(template)]),
    );
    return { app, templates };
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

interface Resource {
  readonly id: string;
  /** JSON of any shape: the assertions say which. */
  readonly properties: ReturnType<Template['findResources']>[string][string];
}

/** Every resource of a type, of all stacks. */
export function resourcesOf(templates: Readonly<Record<string, Template>>, type: string): Resource[] {
  return Object.entries(templates).flatMap(([stack, template]) =>
    Object.entries(template.findResources(type)).map(([id, resource]) => ({
      id: `${stack}/${id}`,
      properties: resource.Properties,
    })),
  );
}
