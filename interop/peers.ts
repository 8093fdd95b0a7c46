/** Every peer that shoal is tried with, and how it is built and started. */

import { buildGoPeer, goMissing } from './go-peer.ts';
import { LIBP2P_PROGRAM, libp2pMissing } from './libp2p-peer.ts';
import { buildPea2PeaPeer, pea2peaMissing } from './pea2pea-peer.ts';
import { buildQp2pPeer, qp2pMissing } from './qp2p-peer.ts';
import { buildSnowPeer, snowMissing } from './snow-peer.ts';

/** A peer as a program. */
export interface Peer {
  readonly name: string;
  /** One line for people. */
  readonly what: string;
  /** Why it cannot be had here, or false. */
  readonly missing: () => string | false;
  /** Builds it. @returns the command that starts it, before arguments. */
  readonly build: () => readonly string[];
}

export const PEERS: readonly Peer[] = [
  {
    name: 'go',
    what: 'independent Go peer: --stack udp,p2pke[,frag|mux:KIND:ID|mbapp] or udp,quic or ssh [--echo]',
    missing: goMissing,
    build: () => [buildGoPeer()],
  },
  {
    name: 'pea2pea',
    what: 'the real pea2pea: 57|50 echo|sink|show|rpc [1|2|4]',
    missing: pea2peaMissing,
    build: () => [buildPea2PeaPeer()],
  },
  {
    name: 'qp2p',
    what: 'the real qp2p 0.36.4: [--echo] [--bind ADDR] [--idle MS] [--keep-alive MS]; commands on standard input',
    missing: qp2pMissing,
    build: () => [buildQp2pPeer()],
  },
  {
    name: 'snow',
    what: "pea2pea's Noise example by snow: listen | dial ADDR",
    missing: snowMissing,
    build: () => [buildSnowPeer()],
  },
  {
    name: 'libp2p',
    what: 'js-libp2p on TCP, Noise and yamux; orders are lines of JSON on standard input',
    missing: libp2pMissing,
    build: () => [process.execPath, LIBP2P_PROGRAM],
  },
];
