/** Every decoder that meets bytes or text from others. A new one gets an entry here. */

import { type Bytes, concatBytes, encodeText } from '../src/base/bytes.ts';
import { parseSocketAddress } from '../src/base/ip.ts';
import { decodePeerId, encodePeerId } from '../src/core/peer-id.ts';
import { encodeVarint, encodeVarint64, readVarint, readVarint64 } from '../src/base/varint.ts';
import { decodeCache, encodeCache } from '../src/discovery/cache-format.ts';
import { contacts } from '../src/discovery/contacts.ts';
import { decodeExchange, encodeExchange } from '../src/discovery/exchange-message.ts';
import { cellSeeds, feedCell, trackerStates } from './cells.ts';
import { parseTrackerState } from '../src/protocols/cell/tracker-state.ts';
import { signPeerRecord, verifyPeerRecord } from '../src/discovery/peer-record.ts';
import { createSelfSignedCertificate, parseCertificate } from '../src/identity/certificate.ts';
import { verifyChain } from '../src/identity/chain.ts';
import { defaultKeyRegistry } from '../src/identity/ecdsa-p256.ts';
import { createCertificate } from '../src/identity/issue.ts';
import { decodeOid } from '../src/identity/oid.ts';
import { decodePem } from '../src/identity/pem.ts';
import { decodePkcs8 } from '../src/identity/pkcs8.ts';
import { decodeSpki } from '../src/identity/spki.ts';
import { exportKey, generateKey, importKey, importPublicKey } from '../src/identity/keys.ts';
import { encodeBytes, encodeParts, qp2pFraming, shoalFraming } from '../src/protocols/endpoint/frame.ts';
import { decodePart, encodePart } from '../src/protocols/frag/part.ts';
import { decodePacket, encodePacket } from '../src/protocols/mbapp/header.ts';
import { DatagramMask } from '../src/protocols/mask/datagram.ts';
import { StreamMasker, StreamUnmasker } from '../src/protocols/mask/stream.ts';
import { channelKinds } from '../src/protocols/mux/channel-kinds.ts';
import { verifyInitHello } from '../src/protocols/p2pke/hello.ts';
import {
  decodeCookieReply,
  decodeInitDone,
  decodeInitHello,
  decodeRespHello,
} from '../src/protocols/p2pke/messages.ts';
import { decodeFields } from '../src/protocols/p2pke/protobuf.ts';
import { CipherState, NoiseRecordReader } from '../src/protocols/noise/index.ts';
import { isQuicDatagram } from '../src/protocols/quic/classify.ts';
import {
  decodeDialBackNonce,
  decodeDialBackRequest,
  encodeDialBackNonce,
  encodeDialBackRequest,
} from '../src/protocols/reachability/dial-back.ts';
import { decodePunchOffer } from '../src/protocols/punch/offer.ts';
import { StunClient } from '../src/protocols/stun/client.ts';
import { checkIntegrity, decodeStun, encodeStun } from '../src/protocols/stun/message.ts';
import { answerStun } from '../src/protocols/stun/server.ts';
import { StunStreamReader } from '../src/protocols/stun/stream-reader.ts';
import { createMemoryRealm } from '../src/swarms/memory/index.ts';
import { parseP2pkeAddr } from '../src/swarms/p2pke/address.ts';
import { parseQuicAddr } from '../src/swarms/quic/address.ts';
import { parseSshAddr, sshAddr, sshIdOf } from '../src/swarms/ssh/address.ts';
import { parseTcpAddr } from '../src/swarms/tcp/address.ts';
import { parseUdpAddr } from '../src/net/socket-address.ts';
import { beaconSeeds, feedBeacon } from './beacon-datagrams.ts';
import { ConnectReader } from '../src/net/http-connect.ts';
import { feedTurn, turnSeeds } from './turn-messages.ts';
import { chordSeeds, feedChord } from './chord-messages.ts';
import { feedKademlia, kademliaSeeds } from './kademlia-messages.ts';
import { feedRelay, relaySeeds } from './relay-messages.ts';
import { feedMdns, mdnsSeeds } from './mdns-messages.ts';
import { NOISE_KEY, noiseMessages, noiseReaders, noiseRecords } from './noise-messages.ts';
import { feedNodeCodecs, nodeFrames } from './node-frames.ts';
import { p2pkeDatagrams } from './p2pke-datagrams.ts';
import { feedPeersSession, peersPackets } from './peers-packets.ts';
import { feedMappingDatagrams, feedMappingDocuments, mappingDatagrams, mappingDocuments } from './port-mapping.ts';
import { feedPunch, punchMessages, punchOffers } from './punch-messages.ts';
import {
  feedSshAuthentication,
  feedSshInit,
  feedSshKey,
  feedSshRequests,
  feedSshTransport,
  sshAuthentications,
  sshInits,
  sshKeys,
  sshRequests,
  sshStreams,
} from './ssh-packets.ts';
import { feedTcpSession, tcpStreams } from './tcp-frames.ts';

const stunServer = { ip: '192.0.2.1', port: 3478 };
const stunRequest = encodeStun({ class: 'request', method: 1, transactionId: new Uint8Array(12), attributes: [] });
const stunMessages = [
  stunRequest,
  answerStun(stunRequest, { ip: '2001:db8::7', port: 5 }, { here: stunServer, other: stunServer })!.bytes,
  encodeDialBackNonce(new Uint8Array(16)),
];
const stunClient = new StunClient();
stunClient.ask(0, { server: stunServer, transactionId: new Uint8Array(12) });
const dialBack = encodeDialBackRequest({
  transport: 'tcp',
  nonce: new Uint8Array(16),
  target: stunServer,
  forwarded: false,
});

const maskKey = new Uint8Array(32);
const datagramMask = new DatagramMask(maskKey, (length) => new Uint8Array(length));
const streamMasker = new StreamMasker(maskKey, 'initiator', (length) => new Uint8Array(length));
const maskSeeds = [
  datagramMask.seal(new Uint8Array(9), 1200),
  concatBytes(...streamMasker.seal([new Uint8Array(9)]), ...streamMasker.seal([new Uint8Array(99)])),
];

const cachedAddr = { proof: 'dialled', firstMs: 1, provenMs: 2, successes: 3, failures: 4, failedMs: 5 } as const;
const cachedId = encodePeerId(new Uint8Array(32).fill(9));
const cachedNetwork = {
  name: 'fuzz',
  savedMs: 1,
  peers: [{ id: cachedId, addrs: [{ addr: `${cachedId}@192.0.2.1:4000`, ...cachedAddr }] }],
};

/** Something that is fed with hostile inputs. */
export interface Target {
  readonly name: string;
  /** Valid inputs, to be spoilt. */
  readonly seeds: readonly Uint8Array[];
  /** Takes one input; throws only when it has a fault. */
  readonly feed: (input: Bytes) => void;
  /** Called now and then, for what works in turns. */
  readonly settle?: (() => Promise<void>) | undefined;
  /** Of the inputs that were asked for, one in so many: for what does much with each. @default 1 */
  readonly oneIn?: number | undefined;
}

/** The contract of what users call: misuse errors, nothing else. */
function misuseOnly(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
  }
}

const decoder = new TextDecoder();
const parsing =
  (parse: (text: string) => unknown) =>
  (input: Bytes): void =>
    misuseOnly(() => parse(decoder.decode(input)));

const keys = [generateKey(), generateKey({ algorithm: 'ecdsa-p256' })];
const peerId = encodePeerId(new Uint8Array(32).fill(77));
const endpoints = ['127.0.0.1:5000', '[::1]:80', '[fe80::1%eth0]:9', '1.2.3.4:65536'].map(encodeText);
const sshAddrs = [0, 1].map((i) => encodeText(sshAddr(sshIdOf(keys[i]!.publicKey), { ip: '::1', port: 22 }).text));
const peers = [encodeText(`${peerId}@127.0.0.1:1`), encodeText(peerId)];
const header = { kind: 'request', code: 0, origin: 5, counter: 7, sizeBytes: 40, parts: 2, timeoutMs: 1000 } as const;
const certificates = keys.map((signer) =>
  createSelfSignedCertificate({
    signer,
    registry: defaultKeyRegistry,
    serialNumber: Uint8Array.of(1, 2),
    notBeforeMs: 1_700_000_000_000,
    notAfterMs: 1_800_000_000_000,
  }),
);
/** An authority, and a certificate of it with everything that is looked at. */
const authority = createCertificate({
  subjectKey: keys[0]!.publicKey,
  issuer: { key: keys[0]! },
  serialNumber: Uint8Array.of(1),
  notBeforeMs: 0,
  notAfterMs: 1_800_000_000_000,
  commonName: 'a',
  isAuthority: true,
});
const authorities = [parseCertificate(authority)!];
const certified = createCertificate({
  subjectKey: keys[1]!.publicKey,
  issuer: { key: keys[0]!, certificate: authorities[0] },
  serialNumber: Uint8Array.of(2),
  notBeforeMs: 0,
  notAfterMs: 1_800_000_000_000,
  dnsNames: ['a.test', '*.b.test'],
});
const endpointMessage = { header: new Uint8Array(3), dst: new Uint8Array(2), payload: new Uint8Array(40) };
const spkis = keys.map(({ publicKey }) => publicKey.spki);
const pkcs8s = keys.map((key) => exportKey(key, 'pkcs8'));
const records = keys.map(
  (key) => signPeerRecord(key, { addrs: [], issuedMs: 1_700_000_000_000, lifetimeMs: 1000 }).bytes,
);
const memory = createMemoryRealm({ clock: 'virtual' }).swarm();
const handshake = p2pkeDatagrams();

export const DECODERS: readonly Target[] = [
  { name: 'frames of the node', seeds: nodeFrames, feed: feedNodeCodecs, oneIn: 4 },
  {
    name: 'varints',
    seeds: [encodeVarint(300), encodeVarint64(2n ** 63n), new Uint8Array(11).fill(0xff)],
    feed: (input) => {
      readVarint(input);
      readVarint64(input, input.length >> 1);
    },
  },
  { name: 'frag parts', seeds: [encodePart(7, 1, 3, new Uint8Array(20))], feed: (input) => void decodePart(input) },
  {
    name: 'mbapp packets',
    seeds: [encodePacket(header, 1, new Uint8Array(20))],
    feed: (input) => void decodePacket(input),
  },
  {
    name: 'mux headers',
    seeds: [channelKinds.string.encode('chat'), channelKinds.u64.encode(9n), channelKinds.varint.encode(300)],
    feed: (input) => {
      for (const kind of Object.values(channelKinds)) kind.decode(input);
    },
  },
  {
    name: 'p2pke messages',
    seeds: handshake,
    feed: (input) => {
      decodeInitHello(input);
      decodeRespHello(input);
      decodeInitDone(input);
      decodeCookieReply(input);
      decodeFields(input);
    },
  },
  {
    name: 'p2pke hellos, verified',
    seeds: handshake,
    feed: (input) => void verifyInitHello(input, defaultKeyRegistry),
    oneIn: 10,
  },
  {
    name: 'Noise handshakes',
    seeds: noiseMessages,
    feed: (input) => {
      for (const end of noiseReaders()) end.read(input);
    },
    oneIn: 20,
  },
  {
    name: 'Noise records',
    seeds: noiseRecords,
    feed: (input) => void new NoiseRecordReader(new CipherState(NOISE_KEY)).push(input),
  },
  { name: 'datagrams of routers', seeds: mappingDatagrams, feed: feedMappingDatagrams, oneIn: 4 },
  { name: 'documents of routers', seeds: mappingDocuments, feed: feedMappingDocuments, oneIn: 4 },
  { name: 'QUIC or not', seeds: [Uint8Array.of(0xc0, 0, 0, 0, 1, 8)], feed: (input) => void isQuicDatagram(input) },
  {
    name: 'endpoint frames',
    seeds: [encodeBytes(endpointMessage.payload, undefined), encodeParts(endpointMessage)].flatMap((chunks) =>
      chunks.map((chunk) => concatBytes(chunk)),
    ),
    feed: (input) => {
      shoalFraming.decode(input, 65_536);
      qp2pFraming.decode(input, 65_536);
    },
  },
  {
    name: 'certificate chains',
    seeds: [certified, authority],
    feed: (input) =>
      void verifyChain({ chain: [input], anchors: authorities, wallMs: 0, usage: 'server', serverName: 'a.test' }),
    oneIn: 4,
  },
  { name: 'packets between connection managers', seeds: peersPackets, feed: feedPeersSession, oneIn: 10 },
  { name: 'TCP swarm frames', seeds: tcpStreams, feed: feedTcpSession, oneIn: 4 },
  { name: 'SSH bytes', seeds: sshStreams, feed: feedSshTransport, oneIn: 20 },
  { name: 'SSH algorithms', seeds: sshInits, feed: feedSshInit },
  { name: 'SSH keys and signatures', seeds: sshKeys, feed: feedSshKey, oneIn: 4 },
  { name: 'SSH authentication', seeds: sshAuthentications, feed: feedSshAuthentication, oneIn: 10 },
  { name: 'SSH requests', seeds: sshRequests, feed: feedSshRequests },
  { name: 'SPKI (DER)', seeds: spkis, feed: (input) => void decodeSpki(input) },
  { name: 'PKCS#8 (DER)', seeds: pkcs8s, feed: (input) => void decodePkcs8(input) },
  { name: 'certificates (DER)', seeds: certificates, feed: (input) => void parseCertificate(input) },
  { name: 'OIDs', seeds: [Uint8Array.of(0x2b, 0x65, 0x70)], feed: (input) => void decodeOid(input) },
  {
    name: 'PEM',
    seeds: [encodeText(exportKey(keys[0]!, 'pem'))],
    feed: (input) => void decodePem(decoder.decode(input)),
  },
  {
    name: 'keys',
    seeds: [...pkcs8s, ...spkis],
    feed: (input) => {
      misuseOnly(() => importKey(input));
      misuseOnly(() => importPublicKey(input));
    },
    oneIn: 10,
  },
  {
    name: 'endpoints and PeerIDs',
    seeds: [...endpoints, ...peers],
    feed: (input) => {
      const text = decoder.decode(input);
      parseSocketAddress(text);
      decodePeerId(text);
    },
  },
  { name: 'peer records', seeds: records, feed: (input) => void verifyPeerRecord(input), oneIn: 10 },
  {
    name: 'peer exchange',
    seeds: [encodeExchange(0, records, 65_536)],
    feed: (input) => void decodeExchange(input),
  },
  {
    name: 'peer caches',
    seeds: [encodeCache([], cachedNetwork), encodeCache([cachedNetwork], { ...cachedNetwork, name: 'other' })],
    feed: (input) => void decodeCache(input),
  },
  { name: 'contacts', seeds: [...endpoints, ...peers], feed: parsing((text) => contacts([text])) },
  {
    name: 'masked bytes',
    seeds: maskSeeds,
    feed: (input) => {
      datagramMask.open(input);
      const unmasker = new StreamUnmasker(maskKey, 'initiator');
      unmasker.push(input);
      for (let next = unmasker.next(); next !== undefined && next !== 'failed'; next = unmasker.next());
    },
    oneIn: 10,
  },
  { name: 'multicast DNS', seeds: mdnsSeeds, feed: feedMdns, oneIn: 4 },
  { name: 'beacons', seeds: beaconSeeds, feed: feedBeacon, oneIn: 10 },
  {
    name: 'STUN',
    seeds: stunMessages,
    feed: (input) => {
      const message = decodeStun(input, true);
      if (message !== undefined) checkIntegrity(input, message, input);
      answerStun(input, { ip: '192.0.2.7', port: 1 }, { here: stunServer, other: stunServer });
      stunClient.handleDatagram(0, stunServer, input);
      decodeDialBackNonce(input);
    },
  },
  {
    name: 'STUN on a stream',
    seeds: [concatBytes(...stunMessages)],
    feed: (input) => {
      const reader = new StunStreamReader();
      reader.push(input);
      for (let next = reader.next(); next !== undefined && next !== 'malformed'; next = reader.next());
    },
  },
  {
    name: 'answers of HTTP proxies',
    seeds: [encodeText('HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nrest')],
    feed: (input) => {
      const reader = new ConnectReader();
      reader.push(input.subarray(0, input.length >> 1));
      reader.push(input.subarray(input.length >> 1));
    },
  },
  { name: 'TURN', seeds: turnSeeds, feed: feedTurn, oneIn: 10 },
  { name: 'Chord', seeds: chordSeeds, feed: feedChord, oneIn: 10 },
  { name: 'Kademlia', seeds: kademliaSeeds, feed: feedKademlia, oneIn: 10 },
  { name: 'relay messages', seeds: relaySeeds, feed: feedRelay, oneIn: 4 },
  { name: 'dial-back requests', seeds: [dialBack], feed: (input) => void decodeDialBackRequest(input) },
  { name: 'punch offers', seeds: punchOffers, feed: (input) => void decodePunchOffer(input) },
  { name: 'punch messages', seeds: punchMessages, feed: feedPunch, oneIn: 10 },
  { name: 'UDP addresses', seeds: endpoints, feed: parsing(parseUdpAddr) },
  { name: 'P2PKE addresses', seeds: peers, feed: parsing((text) => parseP2pkeAddr(text, parseUdpAddr)) },
  { name: 'QUIC addresses', seeds: peers, feed: parsing((text) => parseQuicAddr(text, parseUdpAddr)) },
  { name: 'TCP addresses', seeds: peers, feed: parsing(parseTcpAddr) },
  { name: 'SSH addresses', seeds: sshAddrs, feed: parsing(parseSshAddr) },
  { name: 'JSON of trackers', seeds: trackerStates, feed: (input) => void parseTrackerState(input) },
  { name: 'cells and tokens of trackers', seeds: cellSeeds, feed: feedCell, oneIn: 20 },
  { name: 'memory addresses', seeds: [encodeText('17')], feed: parsing((text) => memory.parseAddr(text)) },
];
