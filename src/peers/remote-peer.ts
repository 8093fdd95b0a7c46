/** What the connection manager knows of one peer: its session, its paths, and who waits for it. */

import type { Addr } from '../core/addr.ts';
import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Hello, PeerKind } from '../protocols/peers/hello.ts';
import type { ReachReport } from '../protocols/peers/reach/report.ts';
import type { WantToken } from '../protocols/peers/reach/machine.ts';
import type { AttackSignal } from './attack-observations.ts';
import type { PeerChange } from './changes.ts';
import type { PeerStream } from './session-streams.ts';
import type { LivePath, LiveSession } from './live-session.ts';
import type { Transport } from './transport.ts';

/** A call that waits for the peer. */
export interface PeerWaiter {
  readonly use: (session: LiveSession) => void;
  readonly fail: (error: P2PError) => void;
}

/** What the peers need from the object that the program has. */
export interface RemotePeersHooks {
  changed(change: PeerChange): void;
  streamOpened(stream: PeerStream): boolean;
  /** A peer did something that counts as a signal of an attack. */
  signal(src: Addr | undefined, peer: PeerId | undefined, signal: AttackSignal, sample?: string, times?: number): void;
}

/** For whom a session is kept. */
export type KeptBy = 'program' | 'relay';

export class RemotePeer {
  readonly id: PeerId;
  session: LiveSession | undefined;
  /** Open paths, one for each transport. Bounded by the transports. */
  readonly paths: Map<Transport, LivePath> = new Map();
  /** Bounded by the pending calls. */
  readonly waiters: Set<PeerWaiter> = new Set();
  /** Given back when nobody waits for a path. */
  want: WantToken | undefined;
  /** Who keeps a session with it: the program, or what this node needs the peer for. */
  readonly keptBy: Set<KeptBy> = new Set(); // Bounded by the kinds.
  /** It has to be told that another process uses its key. */
  isKeyElsewhere = false;
  /** The session for which it was dialled back: once for each. */
  dialledBack: LiveSession | undefined;
  /** Its session is being replaced. */
  isHeld = false;
  /** What the next hello says that this node wants. */
  intent: 'connect' | 'bootstrap' = 'connect';
  publicKey: PublicKey | undefined;
  /** A node when that is proven. */
  kind: PeerKind = 'client';
  /** The last hello of the peer. */
  hello: Hello | undefined;
  /** How far its clock was ahead of this node's then. */
  aheadMs = 0;
  /** What it reported last of its attempts at this node. */
  report: ReachReport | undefined;
  /** Whether `accept` has admitted the session. */
  isAdmitted = false;
  /** Whether `connected` was announced. */
  isAnnounced = false;

  constructor(id: PeerId) {
    this.id = id;
  }

  /** Those that wait, which then wait no more. */
  takeWaiters(): readonly PeerWaiter[] {
    const waiters = [...this.waiters];
    this.waiters.clear();
    return waiters;
  }

  keep(by: KeptBy, isKept: boolean): void {
    if (isKept) this.keptBy.add(by);
    else this.keptBy.delete(by);
    if (this.session !== undefined) this.session.machine.isMaintained = this.isMaintained;
  }

  /** Another session takes the place of this one, with what it did not send. */
  replaceSession(next: () => LiveSession, reason: string): void {
    this.isHeld = true;
    this.session?.endFor(next, reason);
    this.isHeld = false;
  }

  forgetPath(path: LivePath): void {
    if (this.paths.get(path.transport) === path) this.paths.delete(path.transport);
  }

  closePaths(): void {
    for (const path of this.paths.values()) path.isOpen = false;
    this.paths.clear();
  }

  get isMaintained(): boolean {
    return this.keptBy.size > 0;
  }

  /** Whether its session is kept, or has something under way. */
  get isInUse(): boolean {
    return this.session !== undefined && (this.isMaintained || !this.session.machine.isQuiet);
  }

  /** Whether something keeps it: a session, a call, a wish. */
  get isUsed(): boolean {
    return this.session !== undefined || this.waiters.size > 0 || this.isMaintained;
  }

  /** Whether a path is needed: a call waits, or the session has something under way. */
  get needsPath(): boolean {
    if (this.waiters.size > 0) return true;
    return this.session !== undefined && this.session.isOpen && !this.session.machine.isQuiet;
  }
}
