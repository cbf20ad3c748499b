/** The longest that setTimeout takes: 24.8 days. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
