/** What goes between requests.ts and the processes it measures. */

/** Send requests of so many bytes, so many under way at a time, for so long. */
export interface RequestOrder {
  readonly bytes: number;
  readonly inFlight: number;
  readonly forMs: number;
}
