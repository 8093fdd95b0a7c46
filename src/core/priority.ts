/**
 * Priorities have one meaning everywhere: a number, higher is sent first, 0 by default. Equal priorities keep their
 * order. Any finite number is valid; fractions fit between two others.
 */

/** Higher first; 0 by default. */
export type Priority = number;

/** The priority of a message for which none is given. */
export const DEFAULT_PRIORITY: Priority = 0;
