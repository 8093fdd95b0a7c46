/** What networks in memory tell of each packet. */

import type { Bytes } from '../base/bytes.ts';
import type { DropReason } from '../core/counters.ts';

/** A packet has left its sender, or was lost. */
export interface PacketEvent {
  readonly atMs: number;
  /** The addresses as text. */
  readonly from: string;
  readonly to: string;
  /** Not to be changed, and not to be kept: it becomes the receiver's. */
  readonly payload: Bytes;
  /** Why it is lost; absent for a packet that has left its sender. A packet that left may be lost later. */
  readonly lost?: DropReason | undefined;
}
