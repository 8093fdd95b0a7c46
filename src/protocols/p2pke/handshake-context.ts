/** What the handshakes of a channel need of it, and share. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { Outbox } from '../../base/outbox.ts';
import type { Side } from '../../core/accept.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { ChannelEvent, ChannelTimer, ChannelVerdict, ResolvedChannelLimits } from './channel-options.ts';
import type { P2pkeIdentity } from './identity.ts';
import type { Session } from './session.ts';
import type { Slots } from './slots.ts';

/** A channel, as its handshakes see it. */
export interface HandshakeContext {
  readonly slots: Slots;
  readonly outbox: Outbox<Bytes, ChannelEvent, ChannelTimer>;
  readonly identity: P2pkeIdentity;
  readonly limits: ResolvedChannelLimits;
  /** The other side's key, once it has been proven. */
  readonly pinned: PublicKey | undefined;
  /** Milliseconds since the Unix epoch. */
  wallMs(now: Millis): number;
  /** What is known of a key; `undefined` when the application has to be asked. */
  judge(publicKey: PublicKey): ChannelVerdict | undefined;
  /** Asks the application whether the owner of a key may talk. */
  ask(publicKey: PublicKey, side: Side): void;
  /** Whether a RespHello of this key waits for the application's verdict. */
  isReplyJudged(publicKey: PublicKey): boolean;
  pin(publicKey: PublicKey): void;
  /** Something came from the other side. */
  heard(now: Millis): void;
  /** Whether the other side may have forgotten the current session. */
  isStale(now: Millis): boolean;
  promote(now: Millis, session: Session): void;
  /** The sessions in `slots` have changed: arms the timer that ends them. */
  armEnd(): void;
}
