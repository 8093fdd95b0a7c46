/** A peer that is reached through a TURN server only, with QUIC from end to end: it answers, or asks the peer whose address is given. */

import { encodeText } from '../../src/base/bytes.ts';
import { openTurnSwarm } from '../../src/nat/index.ts';
import { loadQuicEngine, quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { report } from './report-line.ts';

const [server, transport, mode, peer] = process.argv.slice(2);
const secrets = mode === 'rest' ? { secret: 'north' } : { credential: 'password' };
const given = { server: server!, transport: transport as 'udp' | 'tcp', username: 'ann', ...secrets };
await loadQuicEngine();
// The server may still be starting: a request over UDP is repeated for some seconds.
const turn = await openTurnSwarm(given);
// The other peer's datagrams come from the server's own IP.
await turn.permit(turn.addr);
const swarm = quic(turn, { privateKey: testKey(peer === undefined ? 1 : 2) });
if (peer === undefined) {
  swarm.serve(({ payload }) => payload);
  report({ addr: swarm.addr.text });
} else {
  let answers = 0;
  let bytes = 0;
  for (let i = 0; i < 20; i++) {
    const answer = await swarm.ask(peer, encodeText(`${i}`.repeat(2000)));
    answers++;
    bytes += answer.length;
  }
  const { mapped } = turn;
  await swarm.close();
  report({ answers, bytes, relayed: peer, mapped });
  process.exit(0);
}
