import * as z from 'zod/mini';

/** The JSON Schema of what a workflow takes. */
export function inputSchema(input: z.ZodMiniType): Record<string, unknown> {
  return z.toJSONSchema(input, { io: 'input' }) as Record<string, unknown>;
}
