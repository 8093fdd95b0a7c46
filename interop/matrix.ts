/**
 * Who talks to whom over what, by test: the rows of docs/interop.md. `npm run interop` counts the tests of each row, and
 * complains about a test that belongs to none.
 */

/** Who dials, or asks first. */
export type Direction = 'we dial' | 'it dials' | 'both ways';

/** One row. A test belongs to the first one that matches. */
export interface Row {
  readonly peer: string;
  readonly protocol: string;
  readonly direction: Direction;
  /** The file in interop/. */
  readonly file: string;
  /** The test's full name. @default every test of the file */
  readonly name?: RegExp | undefined;
}

const GO_NOISE = 'independent Go peer (flynn/noise)';
const GO_QUIC = 'independent Go peer (quic-go)';
const GO_SSH = 'independent Go peer (x/crypto/ssh)';
const SNOW = 'snow 0.9.6 (as pea2pea uses it)';
const NOISE = 'noise-xxpsk3.test.ts';

/** A protocol of which each direction has tests of its own, and the rest goes both ways. */
function threeWays(
  peer: string,
  protocol: string,
  file: string,
  within: string,
  weDial: string,
  itDials: string,
): readonly Row[] {
  return [
    { peer, protocol, direction: 'we dial', file, name: new RegExp(`${within}.*(${weDial})`) },
    { peer, protocol, direction: 'it dials', file, name: new RegExp(`${within}.*(${itDials})`) },
    { peer, protocol, direction: 'both ways', file, name: new RegExp(within) },
  ];
}

export const ROWS: readonly Row[] = [
  ...threeWays(GO_NOISE, 'p2pke, machines', 'p2pke.test.ts', '', '> we begin', '> Go begins'),
  ...threeWays(GO_NOISE, 'p2pke, swarm', 'p2pke-swarm.test.ts', '', '> (finds|looks)', '> is dialled'),
  ...threeWays(GO_NOISE, 'p2pke, as it forgets', 'p2pke-original.test.ts', '', '> first', '> is told'),
  ...['udp', 'udp,p2pke'].flatMap((base) =>
    ['frag', 'mux', 'mbapp'].map((layer): Row => ({
      peer: GO_NOISE,
      protocol: `${layer} over ${base}`,
      direction: 'both ways',
      file: 'composition.test.ts',
      name: new RegExp(`^${base},${layer}`),
    })),
  ),
  {
    peer: GO_NOISE,
    protocol: 'DHT, JSON form',
    direction: 'we dial',
    file: 'kademlia.test.ts',
    name: /> (we join|it keeps)/,
  },
  {
    peer: GO_NOISE,
    protocol: 'DHT, JSON form',
    direction: 'it dials',
    file: 'kademlia.test.ts',
    name: /> it (stores|finds)/,
  },
  { peer: GO_QUIC, protocol: 'quic', direction: 'we dial', file: 'quic.test.ts', name: /: we dial/ },
  { peer: GO_QUIC, protocol: 'quic', direction: 'it dials', file: 'quic.test.ts', name: /: Go dials/ },
  { peer: GO_QUIC, protocol: 'the command, --preset go-p2p', direction: 'both ways', file: 'command.test.ts' },
  ...threeWays(GO_SSH, 'ssh, global requests', 'ssh.test.ts', '', 'Go peer: we dial', 'Go peer: it dials'),
  { peer: 'OpenSSH', protocol: 'ssh: is told no', direction: 'we dial', file: 'openssh.test.ts', name: /: we dial/ },
  { peer: 'OpenSSH', protocol: 'ssh: is told no', direction: 'it dials', file: 'openssh.test.ts' },
  ...['ssh2 1.17.0', 'paramiko 5.1.0'].flatMap((library) =>
    (['we dial', 'it dials'] as const).map((direction): Row => ({
      peer: library,
      protocol: 'ssh: is told no',
      direction,
      file: 'ssh-libraries.test.ts',
      name: new RegExp(`${library}: ${direction}`),
    })),
  ),
  ...['57', '50'].flatMap((era) =>
    threeWays(
      `pea2pea 0.${era === '57' ? '57.4' : '50.0'} (the real crate)`,
      'length-delimited frames, simple_rpc',
      'pea2pea.test.ts',
      `pea2pea 0\\.${era}`,
      '> we dial',
      '> it dials',
    ),
  ),
  ...threeWays(
    'qp2p 0.36.4 (the real crate)',
    'endpoint, qp2p framing',
    'qp2p.test.ts',
    'qp2p 0\\.36\\.4',
    '> shoal dials|> a connection made by|clients of shoal|no words for|without the mode',
    '> qp2p dials|> 100 clients of qp2p',
  ),
  { peer: SNOW, protocol: 'Noise XXpsk3, one record a message', direction: 'we dial', file: NOISE, name: /> we dial/ },
  { peer: SNOW, protocol: 'Noise XXpsk3, one record a message', direction: 'it dials', file: NOISE },
  ...threeWays(
    'js-libp2p 3.3.11',
    'Noise, yamux, ping, identify',
    'libp2p.test.ts',
    'live with js-libp2p',
    '> dials it',
    '> (is dialled by it|takes more)',
  ),
  {
    peer: 'Redis 7 (Debian)',
    protocol: 'cells',
    direction: 'we dial',
    file: 'cells.test.ts',
    name: /^Redis|^script|^whatever/,
  },
  { peer: 'NATS 2.9 (Debian)', protocol: 'cells', direction: 'we dial', file: 'cells.test.ts' },
  ...threeWays(
    'independent Go program (net/http, x/crypto)',
    'tracker, go-p2p',
    'tracker.test.ts',
    'independent Go program',
    '> we dial',
    '> it dials',
  ),
];
