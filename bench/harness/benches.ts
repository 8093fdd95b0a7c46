/** All benches, in the order in which they run. */

import { asks } from '../asks.ts';
import { endpointBench } from '../endpoint.ts';
import { memoryTell } from '../memory-tell.ts';
import { nodeHeadline } from '../node-headline.ts';
import { nodeLife } from '../node-life.ts';
import { nodeMany } from '../node-many.ts';
import { nodeMessages } from '../node-messages.ts';
import { p2pkeMachine } from '../p2pke-machine.ts';
import { p2pkeUdp } from '../p2pke-udp.ts';
import { peersBench } from '../peers.ts';
import { quicEngine } from '../quic-engine.ts';
import { quicSwarm } from '../quic-swarm.ts';
import { relayBench } from '../relay.ts';
import { requests } from '../requests.ts';
import { sendFile } from '../send-file.ts';
import { ssh } from '../ssh.ts';
import { tcpSwarm } from '../tcp-swarm.ts';
import { udpPackets } from '../udp-packets.ts';
import { virtualNats } from '../virtual-nats.ts';
import { virtualRing } from '../virtual-ring.ts';
import { masks } from '../mask.ts';
import { wrappers } from '../wrappers.ts';
import type { Bench } from './bench.ts';

export const BENCHES: readonly Bench[] = [
  memoryTell,
  wrappers,
  masks,
  udpPackets,
  virtualRing,
  virtualNats,
  p2pkeMachine,
  p2pkeUdp,
  asks,
  quicEngine,
  quicSwarm,
  endpointBench,
  nodeMessages,
  nodeMany,
  nodeHeadline,
  nodeLife,
  tcpSwarm,
  ssh,
  peersBench,
  relayBench,
  requests,
  sendFile,
];
