/**
 * Priorities mean the same everywhere: a number, higher goes first, 0 by default. Equal priorities go in order of
 * arrival. Any finite number will do; fractions leave room between two others.
 */

/** Higher first; 0 by default. */
export type Priority = number;

/** What a thing without a priority has. */
export const DEFAULT_PRIORITY: Priority = 0;
