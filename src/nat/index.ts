/**
 * `shoal/nat`: under which addresses others see this host, what NATs and firewalls do in between, whether peers can dial it, and ports of
 * its routers.
 *
 * @example
 * ```ts
 * const report = await natReport({ observers: ['192.0.2.1:3478', '198.51.100.7:3478'] });
 * for (const line of report.summary) console.log(line);
 * ```
 */

export { type AddressWatch, type AddressWatchOptions, watchAddresses } from './address-watch.ts';
export { type DialBackOptions, type DialBackProof, proveReachable } from './dial-back.ts';
export { type DialBackHelper, type DialBackHelperOptions, serveDialBack } from './dial-back-helper.ts';
export { type DialBackListener, type DialBackListenerOptions, listenForDialBack } from './dial-back-listener.ts';
export { type DialBackArrival, DialBackNonces } from './dial-back-nonces.ts';
export { observing, type ObservingOptions, type ObservingSwarm } from './observing.ts';
export { type ObserveOptions } from './stun-handler.ts';
export { observingListeners, type ObservingListenersOptions } from './observing-listeners.ts';
export { type Observer, type ObserverOptions, openObserver } from './observer.ts';
export { type FilteringBehavior, type NatReport, type ObserverOutcome, type PathReport } from './path-report.ts';
export { type DatagramFilter, punching, type PunchingNetwork, type PunchingSocket } from './punch/punching.ts';
export { type PunchedConnection, type PunchedPath, type Puncher, type PunchOptions } from './punch/puncher.ts';
export { punchedTcp, type PunchedTcpNetwork, type PunchedTcpOptions } from './punch/punched-tcp.ts';
export { tcpPuncher, type TcpPuncherOptions } from './punch/tcp-puncher.ts';
export { udpPuncher, type UdpPuncher, type UdpPuncherOptions } from './punch/udp-puncher.ts';
export { type RelayAddr, relayAddr, relayOf } from './relay-address.ts';
export {
  type RelayBudgets,
  type RelayPeer,
  type RelayService,
  type RelayServiceOptions,
  serveRelay,
} from './relay-service.ts';
export { type RelayReservation } from './relay-link.ts';
export { relaySwarm, type RelaySwarm, type RelaySwarmOptions } from './relay-swarm.ts';
export { type RelayLoss } from '../protocols/relay/client.ts';
export { type RelayRefusal } from '../protocols/relay/messages.ts';
export { type GatewayReport, type PortMapperReport, type ProtocolReport } from './mapper-report.ts';
export { openPortMapper, type PortMapperOptions } from './port-mapper.ts';
export { type PortMapper, type PortMapping, type PortMappingRequest } from './port-mapping.ts';
export { type MappingProtocol } from '../protocols/port-mapping/types.ts';
export { openTurnSwarm, type TurnSwarmOptions } from './turn.ts';
export { type TurnSwarm } from './turn-swarm.ts';
export { natReport, type NatReportOptions } from './report.ts';
export { askStunOverTcp, type StunTcpAnswer, type StunTcpOptions } from './stun-tcp.ts';
export { type DialBackTransport } from '../protocols/reachability/dial-back.ts';
export {
  type AddressVerdict,
  type MappingBehavior,
  type MappingVerdict,
  type Observation,
  ObservedAddresses,
  type ObservedAddressesOptions,
  type PortAllocation,
} from '../protocols/reachability/observed-addresses.ts';
export { type Certainty } from '../protocols/reachability/votes.ts';
export {
  decodePunchOffer,
  encodePunchOffer,
  MAX_PUNCH_ADDRS,
  type PunchOffer,
  type PunchPorts,
} from '../protocols/punch/offer.ts';
export { type StunAnswer } from '../protocols/stun/client.ts';
