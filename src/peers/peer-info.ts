/** What the program sees of a peer at a moment. */

import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import type { PathInfo } from './changes.ts';
import type { LivePath } from './live-session.ts';
import type { MeasuredPath, PeerConnection, PeerInfo } from './peers.ts';
import type { RemotePeer } from './remote-peer.ts';

const GONE: Omit<PeerInfo, 'id'> = {
  state: 'connecting',
  kind: 'client',
  path: undefined,
  rttMs: undefined,
  sinceMs: undefined,
  sent: 0,
  received: 0,
  isMaintained: false,
};

export function infoOf({ id, session, kind, isMaintained }: RemotePeer): PeerInfo {
  const path = session?.path;
  return {
    id,
    state: session?.hasOpened !== true ? 'connecting' : path === undefined ? 'interrupted' : 'connected',
    kind,
    path: path === undefined ? undefined : pathInfo(path),
    rttMs: session?.machine.paths.current?.rttMs,
    sinceMs: session?.hasOpened === true ? session.sinceMs : undefined,
    sent: session?.sent ?? 0,
    received: session?.received ?? 0,
    isMaintained,
  };
}

/** The open paths of a peer, the one in use first. */
export function pathsOf({ session }: RemotePeer): readonly MeasuredPath[] {
  const used = session?.path;
  const measured = [...(session?.paths.values() ?? [])].map((path): MeasuredPath => {
    const { rttMs, isInDoubt = false } = session!.machine.paths.get(path.id) ?? {};
    return { ...pathInfo(path), rttMs, isUsed: path === used, isInDoubt };
  });
  return measured.toSorted((a, b) => Number(b.isUsed) - Number(a.isUsed));
}

/** A connected peer: it shows the state of the moment in which it is read. @param find - the peer, while it is known */
export function connectionOf(id: PeerId, publicKey: PublicKey, find: () => RemotePeer | undefined): PeerConnection {
  const now = (): PeerInfo => {
    const known = find();
    return known === undefined ? { ...GONE, id } : infoOf(known);
  };
  return {
    id,
    publicKey,
    get state() {
      return now().state;
    },
    get kind() {
      return now().kind;
    },
    get path() {
      return now().path;
    },
    get rttMs() {
      return now().rttMs;
    },
    get sinceMs() {
      return now().sinceMs;
    },
    get sent() {
      return now().sent;
    },
    get received() {
      return now().received;
    },
    get isMaintained() {
      return now().isMaintained;
    },
  };
}

/** A path, as the program sees it. */
export function pathInfo({ transport, addr, kind, side }: LivePath): PathInfo {
  return { transport: transport.name, addr: addr.text, kind, side };
}
