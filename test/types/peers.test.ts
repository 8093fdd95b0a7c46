import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CandidateSource, PeerId, SecureAskSwarm } from 'shoal';
import { generateKey } from 'shoal/keys';
import type { PortMapper, Puncher, RelayReservation, RelayService } from 'shoal/nat';
import { createMemoryRealm } from 'shoal/memory';
import {
  openPeers,
  openPeersFromFile,
  type PathInfo,
  type PeerAddr,
  type PeerChange,
  type PeerConnection,
  type PeerExplanation,
  type PeerInfo,
  type NetworkReport,
  type Peers,
  type PeersConfig,
  type PeersOptions,
  type PeersRelayOptions,
  type PeerStream,
  type ReachPolicy,
  type ReachReport,
} from 'shoal/peers';
import { createVirtualInternet } from 'shoal/testing';

const same = <T>(value: T): T => value;

/** What happened, in words: the compiler knows what each kind of change has. */
function told(change: PeerChange): string {
  if (change.type === 'connected') return same<PathInfo>(change.path).transport;
  if (change.type === 'path') return same<PathInfo | undefined>(change.path)?.addr ?? 'none';
  if (change.type === 'lost' || change.type === 'unreachable') return `${same<PeerId>(change.id)}: ${change.reason}`;
  if (change.type === 'clock_differs') return `${same<number>(change.differenceMs)} ms`;
  if (change.type === 'attack') return same<string>(change.source);
  return change.type;
}

describe('types of shoal/peers', () => {
  it('a connection manager is a secure swarm with asks, addressed by PeerID', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const host = createVirtualInternet({ realm, seed: 1 }).host();
    const options = { privateKey: generateKey(), realm: host.realm, network: host.network } as const;
    const peers: Peers = await realm.clock.run(openPeers({ ...options, security: 'noise', transports: ['tcp'] }));
    same<SecureAskSwarm<PeerAddr>>(peers);
    const list: readonly PeerInfo[] = peers.list();
    const explanation: PeerExplanation = peers.explain(peers.id);
    const connect: (peer: PeerId) => Promise<PeerConnection> = (peer) => peers.connect(peer);
    const stream: (peer: PeerId) => Promise<PeerStream> = (peer) => peers.openStream(peer);
    // @ts-expect-error a peer is named by its PeerID, not by a number
    const wrongPeer = () => peers.connect(7);
    // @ts-expect-error lists of peers cannot be changed
    const wrongList = () => peers.list().push(list[0]);
    // @ts-expect-error what a connection shows cannot be set
    const wrongState = (connection: PeerConnection) => (connection.state = 'connected');
    assert.equal(told({ type: 'lost', id: peers.id, reason: 'closed' }), `${peers.id}: closed`);
    assert.deepEqual(
      [
        list.length,
        explanation.info,
        typeof connect,
        typeof stream,
        typeof wrongPeer,
        typeof wrongList,
        typeof wrongState,
      ],
      [0, undefined, 'function', 'function', 'function', 'function', 'function'],
    );
    await realm.clock.run(peers.close());
  });

  it('options name transports, sources and lists; a configuration is plain data', () => {
    const source: CandidateSource = { candidates: () => [] };
    const swarm = createMemoryRealm().secureSwarm(generateKey().publicKey);
    const options: PeersOptions = {
      privateKey: generateKey(),
      transports: ['quic', { name: 'memory', swarm }],
      sources: [source],
      lan: { mdns: true },
      mask: { key: new Uint8Array(32) },
      lists: { deny: ['192.0.2.0/24', { target: '2001:db8::/32', kind: 'client' }] },
      accept: ({ id }) => id.length === 43,
    };
    const config: PeersConfig = JSON.parse('{"networkName":"types"}');
    // @ts-expect-error a node has a key
    assert.throws(() => openPeers({ networkName: 'types' }), TypeError);
    const plain = createMemoryRealm().swarm();
    // @ts-expect-error a swarm that authenticates nobody is no transport
    const wrongSwarm: PeersOptions = { ...options, transports: [{ name: 'plain', swarm: plain }] };
    // @ts-expect-error kinds are node and client
    const wrongKind: PeersOptions = { ...options, kind: 'server' };
    // @ts-expect-error an option is not misspelt
    const wrongName: PeersOptions = { ...options, networkname: 'types' };
    const opened: (path: string) => Promise<Peers> = openPeersFromFile;
    assert.deepEqual(
      [config.networkName, wrongSwarm.kind, wrongKind.kind, typeof wrongName, typeof opened],
      ['types', undefined, 'server', 'object', 'function'],
    );
  });

  it('options and methods for NATs', () => {
    const serveRelay: PeersRelayOptions = {
      maxPeers: 8,
      bytesPerSecond: 125_000,
      accept: ({ id }) => id.length === 43,
    };
    const turn = [{ server: '192.0.2.1:3478', username: 'ann', credential: 'password' }];
    const mapper = (portMapping: PortMapper): PeersOptions => ({ privateKey: generateKey(), portMapping });
    const swarm = createMemoryRealm().secureSwarm(generateKey().publicKey);
    const punched = (puncher: Puncher): PeersOptions => ({
      privateKey: generateKey(),
      transports: [{ name: 'own', kind: 'relay', swarm, puncher }],
    });
    const relays: PeersOptions['relays'] = [`${'A'.repeat(43)}@192.0.2.1:443`];
    const policy: ReachPolicy = 'own_relays';
    const options: PeersOptions = { privateKey: generateKey(), serveRelay, turn, relays, policy, punch: false };
    // @ts-expect-error policies have names
    const wrongPolicy: PeersOptions = { ...options, policy: 'fast' };
    // @ts-expect-error where the clients are is known by the connection manager
    const wrongRelay: PeersRelayOptions = { socketAddressOf: () => undefined };
    // @ts-expect-error a server of TURN wants credentials
    const wrongTurn: PeersOptions = { ...options, turn: ['192.0.2.1:3478'] };
    const reads = (peers: Peers, id: PeerId): unknown => {
      peers.setPolicy(id, 'relayed');
      // @ts-expect-error a peer comes first
      const wrong = () => peers.setPolicy('relayed');
      return [
        same<RelayService<PeerAddr> | undefined>(peers.relayed),
        same<readonly RelayReservation<PeerAddr>[]>(peers.reservations),
        peers.explainBoth(id, { timeoutMs: 1000 }).then(({ remote }) => {
          const network = same<NetworkReport | undefined>(same<ReachReport | undefined>(remote)?.network);
          return network?.ports === 'random';
        }),
        wrong,
      ];
    };
    assert.deepEqual(
      [typeof mapper, typeof punched, typeof reads, wrongPolicy.policy, wrongRelay.maxPeers, wrongTurn.turn?.length],
      ['function', 'function', 'function', 'fast', undefined, 1],
    );
  });
});
