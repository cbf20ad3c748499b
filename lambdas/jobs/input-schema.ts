import type * as z from 'zod/mini';
import { toJSONSchema } from 'zod/v4/core';

/** The JSON Schema of what a workflow takes. */
export function inputSchema(input: z.ZodMiniType): Record<string, unknown> {
  return toJSONSchema(input, { io: 'input' }) as Record<string, unknown>;
}
