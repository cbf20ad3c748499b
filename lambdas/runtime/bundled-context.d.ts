// What `#context` is: the `context.ts` of the context that a bundle is made for. The bundler fails when an entry imports a
// part that the context does not have.
import type { ContextModule } from './context.ts';

export declare const name: ContextModule['name'];
export declare const openApi: NonNullable<ContextModule['openApi']>;
export declare const openFeed: NonNullable<ContextModule['openFeed']>;
export declare const openConsumer: NonNullable<ContextModule['openConsumer']>;
export declare const schedules: NonNullable<ContextModule['schedules']>;
